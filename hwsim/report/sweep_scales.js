// Where values lie along an axis, where it has its lines, and which colour and shape a value has.
"use strict";

const SPAN = 4; // what spans more than this factor is laid out by logarithms

function extent(dimension, rows) {
  let low = Infinity;
  let high = -Infinity;
  for (const i of rows) {
    const x = dimension.value(i);
    if (!Number.isFinite(x)) continue;
    if (x < low) low = x;
    if (x > high) high = x;
  }
  return [low, high];
}

const canBeLog = (dimension, [low]) => !dimension.words && low > 0 && low < Infinity;
const shouldBeLog = (dimension, [low, high]) => canBeLog(dimension, [low, high]) && high > SPAN * low;

// `at(x)` is a share of the axis, 0 to 1 within the extent; `ticks` are [share, label].
function scale(dimension, [low, high], log) {
  if (!(low <= high)) return { at: () => NaN, ticks: [] };
  const to = log ? Math.log10 : (x) => x;
  let [from, until] = [to(low), to(high)];
  const room = from === until ? (log ? 0.3 : Math.abs(from) / 2 || 1) : 0.05 * (until - from);
  [from, until] = dimension.words ? [-0.5, dimension.words.length - 0.5] : [from - room, until + room];
  const at = (x) => (to(x) - from) / (until - from);
  const values = dimension.words
    ? dimension.words.map((_, i) => i)
    : dimension.numbers && dimension.count <= 8
      ? dimension.numbers.filter((x) => x >= low && x <= high)
      : log
        ? logTicks(10 ** from, 10 ** until)
        : linearTicks(from, until);
  return { at, ticks: values.map((x) => [at(x), dimension.write(x)]) };
}

function linearTicks(low, high) {
  const raw = (high - low) / 5;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((one) => one >= raw * (1 - 1e-9));
  const ticks = [];
  for (let k = Math.ceil(low / step); k * step <= high; k += 1) ticks.push(Number((k * step).toPrecision(12)));
  return ticks;
}

function logTicks(low, high) {
  const decades = Math.log10(high / low);
  const steps = decades > 3 ? [1] : decades > 1 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 7];
  const every = decades > 8 ? Math.ceil(decades / 6) : 1;
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); 10 ** power <= high; power += every) {
    for (const step of steps) {
      const x = Number(`${step}e${power}`);
      if (x >= low && x <= high) ticks.push(x);
    }
  }
  return ticks;
}

// -- colours ---------------------------------------------------------------------------------------------

const RAMP = 16; // shades of a quantity
const KINDS = 8; // colours and shapes of categories; what comes after shares the last

// Which of `names` a point belongs to (its class), and how each looks. Categories differ in shape too.
function colouring(dimension, rows) {
  const palette = Array.from({ length: KINDS }, (_, i) => colour(`c${i}`));
  const few = dimension.sort === "axis" && !dimension.words && dimension.count <= KINDS;
  if (dimension.words || few) {
    const used = new Set();
    const code = few ? dimension.at : dimension.value;
    for (const i of rows) used.add(code(i));
    const names = few ? dimension.values : dimension.words;
    const shown = few ? ramp(names.length) : null;
    const kind = (k) => Math.min(k, KINDS - 1);
    return {
      of: (i) => kind(Math.max(0, code(i))),
      looks: Array.from({ length: Math.min(names.length, KINDS) }, (_, k) => ({ fill: few ? shown[k] : palette[k], shape: few ? 0 : k })),
      legend: names.map((name, k) => ({ name: name || "nothing", look: kind(k) })).filter((_, k) => used.has(k)),
    };
  }
  const range = extent(dimension, rows);
  const log = shouldBeLog(dimension, range);
  const to = log ? Math.log : (x) => x;
  const [from, until] = range.map(to);
  const shades = ramp(RAMP);
  const of = (i) => {
    const x = dimension.value(i);
    if (!Number.isFinite(x)) return RAMP;
    return Math.min(RAMP - 1, Math.floor(((to(x) - from) / (until - from || 1)) * RAMP));
  };
  return {
    of,
    looks: [...shades.map((fill) => ({ fill, shape: 0 })), { fill: colour("c7"), shape: 0 }],
    ramp: range[0] <= range[1] ? { shades, low: dimension.write(range[0]), high: dimension.write(range[1]), log } : null,
    legend: [],
  };
}

// So many shades from the first to the last stop of the theme's ramp.
function ramp(count) {
  const stops = [0, 1, 2, 3].map((i) => colour(`s${i}`)).map((hex) => [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16)));
  return Array.from({ length: count }, (_, i) => {
    const place = count > 1 ? (i / (count - 1)) * (stops.length - 1) : 0;
    const first = Math.min(stops.length - 2, Math.floor(place));
    const mixed = stops[first].map((v, k) => Math.round(v + (stops[first + 1][k] - v) * (place - first)));
    return `rgb(${mixed.join(" ")})`;
  });
}

// -- shapes ----------------------------------------------------------------------------------------------

const CORNERS = [
  null,
  [[-0.9, -0.9], [0.9, -0.9], [0.9, 0.9], [-0.9, 0.9]],
  [[0, -1.25], [1.1, 0.8], [-1.1, 0.8]],
  [[0, -1.3], [1.1, 0], [0, 1.3], [-1.1, 0]],
  [[0, 1.25], [1.1, -0.8], [-1.1, -0.8]],
  [[-0.4, -1.2], [0.4, -1.2], [0.4, -0.4], [1.2, -0.4], [1.2, 0.4], [0.4, 0.4], [0.4, 1.2], [-0.4, 1.2], [-0.4, 0.4], [-1.2, 0.4], [-1.2, -0.4], [-0.4, -0.4]],
  [[-1.2, -0.6], [0, -1.2], [1.2, -0.6], [1.2, 0.6], [0, 1.2], [-1.2, 0.6]],
  [[-1.3, -0.5], [1.3, -0.5], [1.3, 0.5], [-1.3, 0.5]],
];

// Adds a mark to the pen's path.
function mark(pen, shape, x, y, radius) {
  const corners = CORNERS[shape];
  if (!corners) {
    pen.moveTo(x + radius, y);
    pen.arc(x, y, radius, 0, 2 * Math.PI);
    return;
  }
  corners.forEach(([dx, dy], k) => (k ? pen.lineTo(x + dx * radius, y + dy * radius) : pen.moveTo(x + dx * radius, y + dy * radius)));
  pen.closePath();
}

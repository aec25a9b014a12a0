// The points of the page: columns unpacked, and how their values are written.
"use strict";

const page = JSON.parse(document.getElementById("points").textContent);

const bytesOf = (packed) => Uint8Array.from(atob(packed), (character) => character.charCodeAt(0)).buffer;
const unpack = {
  u1: (packed) => new Uint8Array(bytesOf(packed)),
  u2: (packed) => new Uint16Array(bytesOf(packed)),
  f8: (packed) => new Float64Array(bytesOf(packed)),
};
const column = ({ type, packed, same }) =>
  packed === undefined ? new Float64Array(page.rows).fill(same ?? NaN) : unpack[type](packed);

// What can be laid along an axis. `value(i)` is a number, NaN where a point has none; `words` are the names
// of whole numbers from 0 where there are no quantities; `text(i)` is what a person reads.
const axes = page.axes.map((axis, place) => {
  const at = column(axis.column);
  const count = axis.values.length;
  const { numbers } = axis;
  return {
    ...axis,
    place,
    sort: "axis",
    label: axis.name,
    count,
    at: (i) => (at[i] < count ? at[i] : -1),
    value: (i) => (at[i] < count ? (numbers ? numbers[at[i]] : at[i]) : NaN),
    text: (i) => (at[i] < count ? axis.values[at[i]] : ""),
    words: numbers ? null : axis.values,
    write: (x) => {
      const exact = numbers ? numbers.indexOf(x) : x;
      return axis.values[exact] ?? short(x);
    },
  };
});

const metrics = page.metrics.map((metric) => {
  const values = column(metric.column);
  const write = (x) => written(x, metric.form, metric.unit);
  return {
    ...metric,
    sort: "metric",
    label: metric.noun,
    values,
    value: (i) => values[i],
    text: (i) => (Number.isNaN(values[i]) ? "" : write(values[i])),
    words: null,
    write,
  };
});

const coded = ({ names, column: packed }) => {
  const codes = column(packed);
  return { names, code: (i) => codes[i], text: (i) => names[codes[i]] };
};
const limits = coded(page.limits);
const outcomes = coded(page.outcomes);
const reasons = coded(page.reasons);
const flags = { feasible: column(page.feasible), frontier: column(page.frontier) };

const categories = [
  { name: "limit", label: "what limits it", ...limits },
  { name: "frontier", label: "frontier or not", names: ["other points", "frontier"], code: (i) => flags.frontier[i], text: (i) => (flags.frontier[i] ? "frontier" : "") },
].map((one) => ({ ...one, sort: "category", words: one.names, value: one.code }));

const dimensions = new Map([...axes, ...metrics, ...categories].map((one) => [one.name, one]));
const workloads = axes.find((axis) => axis.kind === "workload");
const objectives = page.objectives.map((name) => dimensions.get(name));
const everyRow = Array.from({ length: page.rows }, (_, i) => i);

// -- writing ---------------------------------------------------------------------------------------------

const THIN = "\u202f";

function short(x) {
  const size = Math.abs(x);
  if (x === 0 || !Number.isFinite(x)) return String(x);
  if (size >= 1000 && size < 1e7) return Math.round(x).toLocaleString("en");
  if (size >= 1e7 || size < 1e-3) return x.toExponential(2).replace(/\.?0+e\+?/, "e");
  return String(Number(x.toPrecision(3)));
}

function scaled(x, unit, base, prefixes) {
  if (x === 0 || !Number.isFinite(x)) return `${x}${THIN}${unit}`;
  const zero = prefixes.indexOf("");
  let step = Math.floor(Math.log(Math.abs(x)) / Math.log(base) + 1e-12);
  if (Number((Math.abs(x) / base ** step).toPrecision(3)) >= base) step += 1;
  step = Math.min(prefixes.length - 1 - zero, Math.max(-zero, step));
  return `${Number((x / base ** step).toPrecision(3))}${THIN}${prefixes[zero + step]}${unit}`;
}

function written(x, form, unit) {
  if (Number.isNaN(x)) return "not known";
  if (form === "si") return scaled(x, unit, 1000, ["f", "p", "n", "\u00b5", "m", "", "k", "M", "G", "T", "P"]);
  if (form === "bytes") return scaled(x, "B", 1024, ["", "Ki", "Mi", "Gi", "Ti"]);
  if (form === "percent") return `${Number((100 * x).toPrecision(3))}${THIN}%`;
  return unit.startsWith("/") ? `${short(x)}${unit}` : `${short(x)}${THIN}${unit}`.trimEnd();
}

const counted = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

// -- elements --------------------------------------------------------------------------------------------

const byId = (id) => document.getElementById(id);

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function drawing(name, attributes = {}, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text) made.textContent = text;
  return made;
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

// A canvas that fills the box it lies in, with sharp pixels; returns its context, cleared.
function cleared(canvas, width, height) {
  const dense = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * dense) || canvas.height !== Math.round(height * dense)) {
    canvas.width = Math.round(width * dense);
    canvas.height = Math.round(height * dense);
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(dense, 0, 0, dense, 0, 0);
  pen.clearRect(0, 0, width, height);
  return pen;
}

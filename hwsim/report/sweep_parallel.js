// Parallel coordinates: one line a point, across the axes and the objectives. Ranges drawn on an axis, or set
// with the keys at its two ends, filter every view.
"use strict";

const parallel = (() => {
  const box = byId("parallel-plot");
  const svg = box.querySelector("svg");
  const [ground, lines, rings] = box.querySelectorAll("canvas");
  const MOST_LINES = 3000; // drawn at once; of more, the frontier and an even share
  const [TOP, BOTTOM, GRAB] = [12, 34, 9]; // px above and below an axis, and around the ends of a range
  const shown = [...axes.filter((axis) => axis !== workloads && axis.count > 1), ...objectives];
  const ranges = new Map(); // dimension -> [low, high], shares of its axis
  let columns = [];
  let size = [0, 0];

  // Where each point lies on an axis: 0 at its lower end, 1 at its upper one, below 0 where it has no value.
  function placed(dimension, place) {
    const range = extent(dimension, state.scope);
    const log = shouldBeLog(dimension, range);
    const [low, high] = range.map(log ? Math.log : (x) => x);
    const stepped = dimension.sort === "axis";
    const at = new Float32Array(page.rows).fill(-0.06);
    const spread = stepped && dimension.count <= 12 ? 0.05 / dimension.count : 0;
    for (const i of everyRow) {
      const x = stepped ? dimension.at(i) : dimension.value(i);
      if (stepped ? x >= 0 : Number.isFinite(x)) at[i] = stepped ? x / (dimension.count - 1) : ((log ? Math.log(x) : x) - low) / (high - low || 1);
    }
    const back = (share) => {
      if (stepped) return dimension.values[Math.round(share * (dimension.count - 1))];
      const x = low + share * (high - low);
      return low <= high ? dimension.write(log ? Math.exp(x) : x) : "not known";
    };
    // Lines through the same few values would hide one another: they are drawn a little apart.
    const drawn = at.map((share, i) => share + spread * (((i * 0.618 + place * 0.37) % 1) - 0.5) * 2);
    return { dimension, place, at, drawn, back, step: stepped ? 1 / (dimension.count - 1) : 0.02 };
  }

  const passes = (i) => columns.every(({ dimension, at }) => {
    const range = ranges.get(dimension.name);
    return !range || (at[i] >= range[0] - 1e-6 && at[i] <= range[1] + 1e-6);
  });

  const xOf = (place) => ((place + 0.5) * size[0]) / columns.length;
  const yOf = (share) => TOP + (1 - share) * (size[1] - TOP - BOTTOM);
  const shareOf = (y) => Math.max(0, Math.min(1, 1 - (y - TOP) / (size[1] - TOP - BOTTOM)));

  function trace(pen, i) {
    columns.forEach(({ drawn, place }) => pen[place ? "lineTo" : "moveTo"](xOf(place), yOf(drawn[i])));
  }

  function some(among, most) {
    if (among.length <= most) return among;
    const step = among.length / most;
    return Array.from({ length: most }, (_, k) => among[Math.floor(k * step)]);
  }

  function drawGround() {
    const pen = cleared(ground, ...size);
    pen.strokeStyle = colour("line");
    pen.lineWidth = 1;
    for (const i of some(state.scope.filter((one) => flags.feasible[one]), 1200)) {
      pen.beginPath();
      trace(pen, i);
      pen.stroke();
    }
  }

  function drawLines() {
    const pen = cleared(lines, ...size);
    const among = state.scope.filter((i) => state.passes[i] && outcomes.code(i) === 0);
    const best = among.filter((i) => flags.frontier[i]);
    const others = some(among.filter((i) => !flags.frontier[i]), Math.max(200, MOST_LINES - best.length));
    pen.lineWidth = 1;
    pen.strokeStyle = colour("c0");
    pen.globalAlpha = Math.max(0.12, Math.min(0.6, 60 / others.length));
    for (const i of others) {
      pen.beginPath();
      trace(pen, i);
      pen.stroke();
    }
    pen.strokeStyle = colour("c1");
    pen.globalAlpha = best.length > 200 ? 0.5 : 0.85;
    pen.lineWidth = 1.5;
    for (const i of best) {
      pen.beginPath();
      trace(pen, i);
      pen.stroke();
    }
    pen.globalAlpha = 1;
    const drawn = best.length + others.length;
    byId("lines-shown").textContent = drawn < among.length ? `${counted(drawn, "line")} of ${among.length.toLocaleString("en")} are drawn, an even share and all of the frontier.` : "";
  }

  function ring() {
    const pen = cleared(rings, ...size);
    for (const [i, wide] of [[state.opened, 3], [state.hovered, 2]]) {
      if (i === null || !state.inScope(i)) continue;
      pen.strokeStyle = colour("ink");
      pen.lineWidth = wide;
      pen.beginPath();
      trace(pen, i);
      pen.stroke();
    }
  }

  function drawAxes() {
    svg.replaceChildren();
    byId("parallel-names").replaceChildren(...columns.map(({ dimension }) => element("span", {}, dimension.label, element("span", { class: "dim" }, dimension.better ? (dimension.better === "min" ? "less is better" : "more is better") : ""))));
    for (const one of columns) {
      const x = xOf(one.place);
      const { dimension } = one;
      svg.append(drawing("line", { class: "rule", x1: x, x2: x, y1: yOf(0), y2: yOf(1) }));
      const few = dimension.sort === "axis" && dimension.count <= 8;
      const shares = few ? dimension.values.map((_, k) => k / (dimension.count - 1)) : [0, 1];
      for (const share of shares) {
        const text = one.back(share);
        svg.append(drawing("text", { class: "axis label", x: x + 7, y: yOf(share) + 4 }, text.length > 14 ? `${text.slice(0, 13)}\u2026` : text));
      }
      if (state.scope.some((i) => outcomes.code(i) === 0 && one.at[i] < 0)) svg.append(drawing("text", { class: "axis label x", x, y: yOf(-0.06) + 16 }, "none"));
      const group = drawing("g", { class: "brush" });
      group.append(drawing("rect", { class: "range", x: x - 7, width: 14, y: 0, height: 0, rx: 3 }));
      group.append(drawing("rect", { class: "touch", x: x - 16, width: 32, y: 0, height: size[1] }));
      for (const end of [0, 1]) {
        const grip = drawing("path", { class: "grip", tabindex: 0, role: "slider", "aria-orientation": "vertical", "aria-valuemin": 0, "aria-valuemax": 100 });
        grip.setAttribute("aria-label", `${end ? "Upper" : "Lower"} end of ${dimension.label}`);
        grip.addEventListener("keydown", (event) => turn(one, end, event));
        group.append(grip);
      }
      pull(one, group.querySelector(".touch"));
      svg.append(group);
      one.group = group;
      showRange(one);
    }
  }

  function showRange(one) {
    const range = ranges.get(one.dimension.name);
    const [low, high] = range ?? [0, 1];
    const rect = one.group.querySelector(".range");
    rect.setAttribute("y", yOf(high) - (range ? 4 : 0));
    rect.setAttribute("height", range ? yOf(low) - yOf(high) + 8 : 0);
    one.group.querySelectorAll(".grip").forEach((grip, end) => {
      const [x, y, side] = [xOf(one.place), yOf(end ? high : low) + (range ? (end ? -4 : 4) : 0), end ? -1 : 1];
      grip.setAttribute("d", `M${x - 6} ${y}H${x + 6}L${x} ${y + side * 8}Z`);
      grip.setAttribute("aria-valuenow", Math.round(100 * (end ? high : low)));
      grip.setAttribute("aria-valuetext", one.back(end ? high : low));
    });
  }

  function setRange(one, low, high) {
    if (low <= 0 && high >= 1) ranges.delete(one.dimension.name);
    else ranges.set(one.dimension.name, [Math.max(0, low), Math.min(1, high)]);
    showRange(one);
    refilter();
  }

  function turn(one, end, event) {
    const range = [...(ranges.get(one.dimension.name) ?? [0, 1])];
    const by = { ArrowUp: one.step, ArrowRight: one.step, ArrowDown: -one.step, ArrowLeft: -one.step, PageUp: 5 * one.step, PageDown: -5 * one.step, Home: -1, End: 1 }[event.key];
    if (event.key === "Escape") setRange(one, 0, 1);
    if (!by) return;
    event.preventDefault();
    range[end] = Math.max(end ? range[0] : 0, Math.min(end ? 1 : range[1], range[end] + by));
    setRange(one, ...range);
  }

  // Draw a new range, or pull an end of the one that is there; a click takes it away.
  function pull(one, touch) {
    const height = (event) => event.clientY - svg.getBoundingClientRect().top;
    touch.addEventListener("pointerdown", (event) => {
      touch.setPointerCapture(event.pointerId);
      const [began, range] = [height(event), ranges.get(one.dimension.name)];
      const held = range ? range.findIndex((share) => Math.abs(yOf(share) - began) < GRAB) : -1;
      const fixed = held >= 0 ? range[1 - held] : shareOf(began);
      const move = (moved) => {
        if (Math.abs(height(moved) - began) < 3) return;
        const now = shareOf(height(moved));
        setRange(one, Math.min(fixed, now), Math.max(fixed, now));
      };
      const end = (ended) => {
        touch.removeEventListener("pointermove", move);
        if (Math.abs(height(ended) - began) < 3 && held < 0) setRange(one, 0, 1);
      };
      touch.addEventListener("pointermove", move);
      touch.addEventListener("pointerup", end, { once: true });
      touch.addEventListener("pointercancel", end, { once: true });
    });
  }

  const lay = () => { columns = shown.map(placed); };

  function draw() {
    const names = byId("parallel-names");
    for (const part of [box, names]) part.style.minWidth = `${104 * columns.length}px`;
    size = [box.clientWidth, box.clientHeight];
    drawAxes();
    drawGround();
    drawLines();
    ring();
  }

  return {
    lay,
    draw,
    drawLines,
    ring,
    passes,
    get restricted() { return ranges.size > 0; },
    clear: () => { ranges.clear(); columns.forEach(showRange); },
  };
})();

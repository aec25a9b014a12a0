// The scatter: all points over two dimensions, coloured by a third. Canvas for marks, SVG for axes.
"use strict";

const scatter = (() => {
  const box = byId("scatter");
  const svg = box.querySelector("svg");
  const [canvas, rings] = box.querySelectorAll("canvas");
  const tip = byId("tip");
  const menus = { x: byId("axis-x"), y: byId("axis-y"), colour: byId("axis-colour") };
  const logs = { x: byId("log-x"), y: byId("log-y") };
  const REACH = 14; // px from a mark that count as on it
  const DENSE = Math.ceil(window.devicePixelRatio || 1);
  let placed = []; // rows that are drawn
  let places = new Float32Array(0); // their x and y, px
  let size = [0, 0];
  let rows = [];

  const chosen = (key) => dimensions.get(menus[key].value);

  function fillMenus() {
    const groups = [["Objectives", objectives], ["Other figures", metrics.filter((m) => !objectives.includes(m))], ["Axes", axes.filter((a) => a !== workloads)]];
    const option = (one) => element("option", { value: one.name }, one.label);
    for (const key of ["x", "y", "colour"]) {
      const more = key === "colour" ? [["What it is", categories], ...groups] : groups;
      menus[key].replaceChildren(...more.filter(([, list]) => list.length).map(([label, list]) => element("optgroup", { label }, ...list.map(option))));
    }
    const [first, second] = mostTraded();
    menus.x.value = first.name;
    menus.y.value = second.name;
    const third = objectives.find((one) => one !== first && one !== second);
    menus.colour.value = limits.names.filter(Boolean).length > 1 ? "limit" : (third ?? axes.find((a) => a !== workloads) ?? first).name;
  }

  // The two objectives of which one is had only for the other: those with the longest line between them.
  function mostTraded() {
    const [first, second] = [...objectives, ...metrics.filter((m) => !objectives.includes(m)), ...axes];
    const pairs = objectives.flatMap((x, k) => objectives.slice(k + 1).map((y) => [x, y, best(state.scope, x, y).length]));
    return pairs.reduce((most, pair) => (pair[2] > most[2] ? pair : most), [first, second ?? first, 0]);
  }

  // The points that no other betters in both of two dimensions, from left to right.
  function best(among, x = chosen("x"), y = chosen("y")) {
    if (x === y || !x.better || !y.better) return [];
    const [sx, sy] = [x, y].map((one) => (one.better === "min" ? 1 : -1));
    const order = among.filter((i) => flags.feasible[i] && Number.isFinite(x.value(i)) && Number.isFinite(y.value(i)))
      .sort((a, b) => sx * (x.value(a) - x.value(b)) || sy * (y.value(a) - y.value(b)));
    let least = Infinity;
    return order.filter((i) => {
      if (sy * y.value(i) >= least) return false;
      least = sy * y.value(i);
      return true;
    });
  }

  function drawAxes(sx, sy, width, height) {
    svg.replaceChildren();
    let free = -Infinity;
    for (const [at, label] of sx.ticks) {
      const x = at * width;
      svg.append(drawing("line", { class: "grid", x1: x, x2: x, y1: 0, y2: height }));
      const half = 3.5 * label.length + 4;
      if (x - half < free || x + half > width + 20) continue;
      free = x + half;
      svg.append(drawing("text", { class: "axis x", x, y: height + 18 }, label));
    }
    let last = Infinity;
    for (const [at, label] of sy.ticks) {
      const y = (1 - at) * height;
      svg.append(drawing("line", { class: "grid", x1: 0, x2: width, y1: y, y2: y }));
      if (last - y < 15) continue;
      last = y;
      svg.append(drawing("text", { class: "axis y", x: -8, y: y + 4 }, label.length > 12 ? `${label.slice(0, 11)}\u2026` : label));
    }
    const title = (one) => `${one.label}${one.better ? `, ${one.better === "min" ? "less" : "more"} is better` : ""}`;
    svg.append(drawing("text", { class: "axis x", x: width / 2, y: height + 38 }, title(chosen("x"))));
    svg.append(drawing("text", { class: "axis", x: -8, y: -10, "text-anchor": "start", dx: -60 }, title(chosen("y"))));
  }

  function drawMarks(sx, sy, width, height) {
    const pen = cleared(canvas, width, height);
    const look = colouring(chosen("colour"), rows);
    const groups = new Map();
    const add = (key, i) => (groups.get(key) ?? groups.set(key, []).get(key)).push(i);
    const missing = byId("show-missing").checked;
    placed = [];
    const xs = new Float32Array(page.rows);
    const ys = new Float32Array(page.rows);
    for (const i of rows) {
      xs[i] = sx.at(chosen("x").value(i)) * width;
      ys[i] = (1 - sy.at(chosen("y").value(i))) * height;
      if (!Number.isFinite(xs[i]) || !Number.isFinite(ys[i]) || (!flags.feasible[i] && !missing)) continue;
      if (!state.passes[i]) add("out", i);
      else if (!flags.feasible[i]) add("missing", i);
      else add(`${flags.frontier[i] ? "b" : "a"}${look.of(i)}`, i);
      if (state.passes[i]) placed.push(i);
    }
    places = [xs, ys];
    const stamp = (list, picture) => {
      const half = picture.width / 2 / DENSE;
      for (const i of list ?? []) pen.drawImage(picture, xs[i] - half, ys[i] - half, 2 * half, 2 * half);
    };
    const few = rows.length <= 600;
    stamp(groups.get("out"), sprite({ fill: colour("line"), shape: 0 }, 1.6));
    stamp(groups.get("missing"), sprite({ fill: colour("faint"), shape: "cross" }, 2.2));
    look.looks.forEach((one, k) => stamp(groups.get(`a${k}`), sprite(one, few ? 3.4 : 2.4, few ? 0.7 : 0.5)));
    const line = best(rows.filter((i) => state.passes[i]));
    pen.strokeStyle = colour("ink");
    pen.lineWidth = 1.4;
    pen.beginPath();
    line.forEach((i, k) => {
      if (k) pen.lineTo(xs[i], ys[line[k - 1]]);
      pen[k ? "lineTo" : "moveTo"](xs[i], ys[i]);
    });
    pen.stroke();
    look.looks.forEach((one, k) => stamp(groups.get(`b${k}`), sprite(one, 5, 1, true)));
    showLegend(look, groups);
  }

  // A mark as a small picture, which is drawn much faster than ten thousand paths are.
  function sprite({ fill, shape }, radius, alpha = 1, outlined = false) {
    const side = Math.ceil(2 * (1.4 * radius + 2));
    const made = element("canvas", { width: side * DENSE, height: side * DENSE, "aria-hidden": "true", class: "swatch" });
    const pen = made.getContext("2d");
    pen.setTransform(DENSE, 0, 0, DENSE, (side * DENSE) / 2, (side * DENSE) / 2);
    pen.globalAlpha = alpha;
    pen.beginPath();
    if (shape === "cross") {
      for (const slope of [1, -1]) { pen.moveTo(-radius, -radius * slope); pen.lineTo(radius, radius * slope); }
      pen.strokeStyle = fill;
      pen.stroke();
      return made;
    }
    mark(pen, shape, 0, 0, radius);
    pen.fillStyle = fill;
    pen.fill();
    if (outlined) { pen.strokeStyle = colour("ink"); pen.lineWidth = 1.2; pen.stroke(); }
    return made;
  }

  function showLegend(look, groups) {
    const entries = look.legend.map(({ name, look: k }) => element("li", {}, sprite(look.looks[k], 5), name));
    if (look.ramp) {
      const bar = element("canvas", { width: 16 * 12, height: 20, "aria-hidden": "true", class: "rampbar" });
      const pen = bar.getContext("2d");
      look.ramp.shades.forEach((fill, k) => { pen.fillStyle = fill; pen.fillRect(k * 12, 0, 12, 20); });
      entries.push(element("li", {}, `${chosen("colour").label}: ${look.ramp.low}`, bar, `${look.ramp.high}${look.ramp.log ? " (logarithmic)" : ""}`));
    }
    entries.push(element("li", {}, sprite({ fill: colour("card"), shape: 0 }, 5, 1, true), "outlined: on the frontier"));
    if (groups.has("missing")) entries.push(element("li", {}, sprite({ fill: colour("faint"), shape: "cross" }, 4), "misses a constraint"));
    byId("scatter-legend").replaceChildren(...entries);
  }

  function draw() {
    rows = state.scope.filter((i) => outcomes.code(i) === 0);
    const seen = byId("show-missing").checked ? rows : rows.filter((i) => flags.feasible[i]);
    const style = getComputedStyle(box);
    const width = box.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    const height = box.clientHeight - parseFloat(style.paddingTop) - parseFloat(style.paddingBottom);
    size = [width, height];
    const scales = ["x", "y"].map((key) => {
      const range = extent(chosen(key), seen);
      const possible = canBeLog(chosen(key), range);
      logs[key].disabled = !possible;
      return scale(chosen(key), range, possible && logs[key].checked);
    });
    drawAxes(...scales, width, height);
    drawMarks(...scales, width, height);
    ring();
  }

  // The rings around the point under the pointer and the one that is open, and what the former is.
  function ring() {
    const pen = cleared(rings, ...size);
    const around = (i, radius, wide) => {
      if (i === null || !Number.isFinite(places[0]?.[i]) || !state.inScope(i)) return;
      pen.strokeStyle = colour("ink");
      pen.lineWidth = wide;
      pen.beginPath();
      pen.arc(places[0][i], places[1][i], radius, 0, 2 * Math.PI);
      pen.stroke();
    };
    around(state.opened, 9, 2.5);
    around(state.hovered, 7, 1.5);
  }

  function showTip(i) {
    tip.hidden = i === null;
    if (i === null) return;
    const [x, y, c] = ["x", "y", "colour"].map(chosen);
    const shown = [...new Set([x, y, ...objectives, ...(c.sort === "category" ? [] : [c])])].filter((one) => one.sort === "metric");
    tip.replaceChildren(
      element("strong", {}, nameOf(i)),
      ...shown.map((one) => element("span", {}, `${one.label} ${one.text(i) || "not known"}`)),
      element("span", {}, flags.feasible[i] ? `limited by ${limits.text(i) || "nothing"}` : "misses a constraint"),
    );
    const [px, py] = [places[0][i], places[1][i]];
    const left = svg.getBoundingClientRect().left - box.getBoundingClientRect().left;
    const top = svg.getBoundingClientRect().top - box.getBoundingClientRect().top;
    const over = px + left + 16 + tip.offsetWidth > box.clientWidth;
    tip.style.left = `${Math.max(4, over ? px + left - 16 - tip.offsetWidth : px + left + 16)}px`;
    tip.style.top = `${Math.max(0, Math.min(py + top - 12, box.clientHeight - tip.offsetHeight))}px`;
  }

  function nearest(event) {
    const frame = canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - frame.left, event.clientY - frame.top];
    let found = null;
    let least = REACH ** 2;
    for (const i of placed) {
      const away = (places[0][i] - x) ** 2 + (places[1][i] - y) ** 2 - (flags.frontier[i] ? 20 : 0);
      if (away < least) [least, found] = [away, i];
    }
    return found;
  }

  box.addEventListener("pointermove", (event) => hover(nearest(event)));
  box.addEventListener("pointerleave", () => hover(null));
  box.addEventListener("click", (event) => {
    const i = nearest(event);
    if (i !== null) openPoint(i);
  });
  // Along the frontier from left to right, and the others where the frontier is filtered out.
  box.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    if (event.key === "Enter" && state.hovered !== null) openPoint(state.hovered);
    if (event.key === "Escape") hover(null);
    if (!step || !placed.length) return;
    event.preventDefault();
    const among = placed.some((i) => flags.frontier[i]) ? placed.filter((i) => flags.frontier[i]) : [...placed];
    among.sort((a, b) => places[0][a] - places[0][b] || places[1][a] - places[1][b]);
    const now = among.indexOf(state.hovered ?? state.opened);
    hover(among[Math.max(0, Math.min(among.length - 1, now + step))], true);
  });
  box.addEventListener("blur", () => hover(null));
  const suit = (key) => { logs[key].checked = shouldBeLog(chosen(key), extent(chosen(key), state.scope)); };
  for (const key of ["x", "y"]) {
    menus[key].addEventListener("change", () => { suit(key); draw(); });
    logs[key].addEventListener("change", draw);
  }
  menus.colour.addEventListener("change", draw);
  byId("show-missing").addEventListener("change", draw);

  return {
    best,
    begin: fillMenus,
    rescale: () => ["x", "y"].forEach(suit),
    draw,
    ring,
    showTip,
  };
})();

// What is chosen, and which views follow it: the workload, the filters, the point under the pointer and the
// one that is open.
"use strict";

const state = {
  scope: everyRow, // points of the chosen workload
  passes: new Uint8Array(page.rows).fill(1), // those of them that pass every filter
  hovered: null,
  opened: null,
  inScope: (i) => !workloads || byId("find-workload").value === "" || workloads.text(i) === byId("find-workload").value,
  peers: (i) => everyRow.filter((k) => flags.feasible[k] && (!workloads || workloads.at(k) === workloads.at(i))),
};

const nameOf = (i) => axes.filter((axis) => axis.at(i) >= 0 && axis.count > 1).map((axis) => `${axis.name.split(".").at(-1)} ${axis.text(i)}`).join(", ") || page.design;

// Once before the next picture, however often it is asked for.
const waiting = new Set();
const soon = (work) => {
  if (!waiting.size) {
    requestAnimationFrame(() => {
      const all = [...waiting];
      waiting.clear();
      for (const one of all) one();
    });
  }
  waiting.add(work);
};

function filter() {
  const wanted = byId("find-text").value.trim().toLowerCase();
  const limit = byId("find-limit").value;
  const feasible = byId("only-feasible").checked;
  const frontier = byId("only-frontier").checked;
  const words = (i) => `${nameOf(i)}\n${limits.text(i)}\n${outcomes.text(i)}`.toLowerCase();
  let passing = 0;
  for (const i of everyRow) {
    const fits = state.inScope(i) && (!feasible || flags.feasible[i]) && (!frontier || flags.frontier[i]) &&
      (limit === "" || limits.text(i) === limit) && parallel.passes(i) && (wanted === "" || words(i).includes(wanted));
    state.passes[i] = fits ? 1 : 0;
    passing += state.passes[i];
  }
  const best = state.scope.filter((i) => state.passes[i] && flags.frontier[i]).length;
  byId("found").textContent = `${passing.toLocaleString("en")} of ${counted(state.scope.length, "point")}, ${best.toLocaleString("en")} on the frontier`;
  byId("clear").hidden = !(parallel.restricted || feasible || frontier || wanted || limit);
}

function refilter() {
  filter();
  soon(follow);
}

function follow() {
  scatter.draw();
  parallel.drawLines();
  table.refresh();
}

function rescope() {
  state.scope = everyRow.filter(state.inScope);
  for (const part of document.querySelectorAll("[data-workload]")) {
    part.hidden = byId("find-workload").value !== "" && part.dataset.workload !== "" && part.dataset.workload !== byId("find-workload").value;
  }
  const first = page.choices.find((choice) => state.inScope(choice.row))?.row ?? state.scope.find((i) => flags.feasible[i]) ?? state.scope[0];
  if (state.opened === null || !state.inScope(state.opened)) state.opened = first ?? null;
  if (state.opened !== null) opened.show(state.opened);
  parallel.lay();
  filter();
  scatter.rescale();
  redraw();
}

function redraw() {
  scatter.draw();
  parallel.draw();
  table.refresh();
}

function hover(i, aloud = false) {
  if (i === state.hovered) return;
  state.hovered = i;
  scatter.ring();
  scatter.showTip(i !== null && state.inScope(i) ? i : null);
  parallel.ring();
  if (aloud && i !== null) {
    const figures = objectives.map((one) => `${one.label} ${one.text(i)}`).join(", ");
    byId("said").textContent = `Point ${i + 1}: ${nameOf(i)}; ${figures}; limited by ${limits.text(i) || "nothing"}`;
  }
}

function openPoint(i, reveal = false) {
  state.opened = i;
  opened.show(i);
  scatter.ring();
  parallel.ring();
  table.show();
  byId("said").textContent = `Point ${i + 1} is open.`;
  if (reveal) opened.reveal();
}

for (const id of ["find-limit", "only-feasible", "only-frontier"]) byId(id).addEventListener("change", refilter);
byId("find-text").addEventListener("input", refilter);
byId("find-workload").addEventListener("change", rescope);
byId("find").addEventListener("submit", (event) => event.preventDefault());
byId("clear").addEventListener("click", () => {
  byId("find-text").value = "";
  byId("find-limit").value = "";
  for (const id of ["only-feasible", "only-frontier"]) byId(id).checked = false;
  parallel.clear();
  refilter();
  byId("find-text").focus();
});
for (const button of document.querySelectorAll("button[data-open]")) {
  button.hidden = false;
  button.addEventListener("click", () => {
    const i = Number(button.dataset.open);
    if (!state.inScope(i)) {
      byId("find-workload").value = workloads.text(i);
      rescope();
    }
    openPoint(i, true);
  });
}
for (const part of document.querySelectorAll(".live")) part.hidden = false;
const colours = matchMedia("(prefers-color-scheme: dark)");
const paper = matchMedia("print");
for (const media of [colours, paper]) media.addEventListener("change", redraw);
window.addEventListener("resize", () => soon(redraw));
table.begin();
scatter.begin();
rescope();

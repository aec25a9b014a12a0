// The table of points: sorted, a page at a time, saved as CSV with every digit.
"use strict";

const table = (() => {
  const AT_ONCE = 25; // rows
  const headings = byId("point-head");
  const body = byId("point-rows");
  const shown = [...axes, ...objectives, ...metrics.filter((m) => !objectives.includes(m)), { name: "limit", label: "limit", ...limits, sort: "word" }, { name: "outcome", label: "outcome", text: outcomeOf, sort: "word" }];
  let order = { by: objectives[0] ?? shown[0], down: objectives[0]?.better === "max" };
  let rows = [];
  let first = 0;

  function outcomeOf(i) {
    if (outcomes.code(i) !== 0) return outcomes.text(i);
    if (flags.frontier[i]) return "frontier";
    return flags.feasible[i] ? "ok" : "misses a constraint";
  }

  function heading(one) {
    const button = element("button", { type: "button" }, one.label);
    const head = element("th", { scope: "col", "data-column": one.name }, button);
    if (one.sort === "metric") head.className = "n";
    button.addEventListener("click", () => {
      order = order.by === one ? { by: one, down: !order.down } : { by: one, down: one.better === "max" };
      refresh();
    });
    return head;
  }

  function sort() {
    const { by, down } = order;
    const side = down ? -1 : 1;
    const compare = by.value
      ? (a, b) => {
          const [x, y] = [by.value(a), by.value(b)];
          if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y); // unknown: last
          return x < y ? -side : x > y ? side : 0;
        }
      : (a, b) => side * by.text(a).localeCompare(by.text(b), "en", { numeric: true });
    rows.sort((a, b) => compare(a, b) || a - b);
  }

  function row(i) {
    const button = element("button", { type: "button", class: "plain", "aria-label": `Open point ${i + 1}` }, String(i + 1));
    const made = element("tr", { "data-row": i }, element("th", { scope: "row" }, button));
    if (i === state.opened) made.setAttribute("aria-current", "true");
    for (const one of shown) made.append(element("td", one.sort === "metric" ? { class: "n" } : {}, one.text(i)));
    return made;
  }

  function show() {
    first = Math.max(0, Math.min(first, Math.floor((rows.length - 1) / AT_ONCE) * AT_ONCE));
    const last = Math.min(rows.length, first + AT_ONCE);
    body.replaceChildren(...rows.slice(first, last).map(row));
    byId("page-shown").textContent = rows.length ? `${(first + 1).toLocaleString("en")} to ${last.toLocaleString("en")} of ${rows.length.toLocaleString("en")}` : "no point passes the filters";
    byId("before").disabled = first === 0;
    byId("after").disabled = last >= rows.length;
    for (const head of headings.cells) {
      if (head.dataset.column === order.by.name) head.setAttribute("aria-sort", order.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
  }

  function refresh() {
    rows = state.scope.filter((i) => state.passes[i]);
    sort();
    first = 0;
    show();
  }

  const quoted = (field) => (/[",\r\n]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field);
  const exact = (x) => (Number.isNaN(x) ? "" : x === Infinity ? "inf" : x === -Infinity ? "-inf" : String(x));
  const saved = (one) => (one.sort === "word" ? one.text : one.words ? one.text : (i) => exact(one.value(i)));

  function csv() {
    const fields = [...axes, ...metrics].map((one) => [one.name, saved(one)]);
    fields.push(["limit", limits.text], ["status", outcomes.text], ["reason", reasons.text]);
    fields.push(["feasible", (i) => String(flags.feasible[i] === 1)], ["frontier", (i) => String(flags.frontier[i] === 1)]);
    const lines = [fields.map(([name]) => name), ...rows.map((i) => fields.map(([, of]) => of(i)))];
    return lines.map((line) => line.map(quoted).join(",") + "\r\n").join("");
  }

  byId("save").addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv;charset=utf-8" }));
    link.download = `${page.name.replace(/[^A-Za-z0-9._-]+/g, "_")}-points.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  });
  body.addEventListener("click", (event) => {
    const found = event.target.closest("tr");
    if (found) openPoint(Number(found.dataset.row), true);
  });
  body.addEventListener("pointerover", (event) => {
    const found = event.target.closest("tr");
    hover(found ? Number(found.dataset.row) : null);
  });
  body.addEventListener("pointerleave", () => hover(null));
  for (const [id, by] of [["before", -AT_ONCE], ["after", AT_ONCE]]) byId(id).addEventListener("click", () => { first += by; show(); });

  return {
    begin: () => headings.replaceChildren(element("th", { scope: "col" }, "point"), ...shown.map(heading)),
    refresh,
    show,
  };
})();

// Sorting of tables; filtering and saving of the one with a form above it. The page is whole without it.
"use strict";
(() => {
  const value = (cell) => cell.dataset.v ?? cell.textContent;

  const sort = (heads, body, rows, index) => {
    const head = heads[index];
    const numeric = head.classList.contains("n");
    const before = head.getAttribute("aria-sort");
    const down = before === null ? numeric : before === "ascending";
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const keyed = rows.map((row, i) => ({ row, i, key: value(row.cells[index]) }));
    const compare = numeric
      ? (a, b) => Number(a.key) - Number(b.key)
      : (a, b) => a.key.localeCompare(b.key, "en", { numeric: true });
    keyed.sort((a, b) => (down ? -compare(a, b) : compare(a, b)) || a.i - b.i);
    body.append(...keyed.map((entry) => entry.row));
  };

  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    const heads = [...table.tHead.rows[0].cells];
    const rows = [...body.rows];
    heads.forEach((head, index) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      button.addEventListener("click", () => sort(heads, body, rows, index));
      head.replaceChildren(button);
    });
    if (heads[0].dataset.column === "number") heads[0].setAttribute("aria-sort", "ascending");
  }

  const form = document.getElementById("find");
  if (!form) return;
  const table = document.getElementById("layertable");
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const rows = [...body.rows];
  const text = document.getElementById("find-text");
  const limit = document.getElementById("find-limit");
  const found = document.getElementById("found");
  const column = (name) => heads.findIndex((head) => head.dataset.column === name);
  const places = heads.flatMap((head, i) => (head.classList.contains("n") ? [] : [i]));
  const words = rows.map((row) => places.map((i) => value(row.cells[i])).join("\n").toLowerCase());
  const limits = rows.map((row) => value(row.cells[column(limit.dataset.column)]));
  const timed = column("share_of_time");
  const times = rows.map((row) => (timed < 0 ? 0 : Number(value(row.cells[timed]))));

  const filter = () => {
    const wanted = text.value.trim().toLowerCase();
    let shown = 0;
    let share = 0;
    rows.forEach((row, i) => {
      row.hidden = !words[i].includes(wanted) || (limit.value !== "" && limits[i] !== limit.value);
      if (!row.hidden) {
        shown += 1;
        share += times[i];
      }
    });
    const part = timed < 0 ? "" : `, ${(100 * share).toFixed(1)} % of the time`;
    found.textContent = `${shown} of ${rows.length} rows${part}`;
  };

  const quoted = (field) => (/[",\r\n]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field);
  const save = (event) => {
    const lines = [heads.map((head) => head.dataset.column)];
    for (const row of body.rows) {
      if (!row.hidden) lines.push([...row.cells].map(value));
    }
    const csv = lines.map((fields) => fields.map(quoted).join(",") + "\r\n").join("");
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([csv], { type: "text/csv;charset=utf-8" }));
    link.download = event.currentTarget.dataset.name.replace(/[^A-Za-z0-9._-]+/g, "_");
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };

  text.addEventListener("input", filter);
  limit.addEventListener("change", filter);
  document.getElementById("save").addEventListener("click", save);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  filter();
})();

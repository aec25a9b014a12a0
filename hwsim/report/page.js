// Sorting, filtering and saving the table of layers. The page is whole without it.
"use strict";
(() => {
  const table = document.getElementById("layertable");
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const rows = [...body.rows];
  const text = document.getElementById("find-text");
  const limit = document.getElementById("find-limit");
  const found = document.getElementById("found");
  const value = (cell) => cell.dataset.v ?? cell.textContent;
  const column = (name) => heads.findIndex((head) => head.dataset.column === name);
  const places = ["operator", "kind", "layer", "limit", "main_stall"].map(column);
  const words = rows.map((row) => places.map((i) => value(row.cells[i])).join("\n").toLowerCase());
  const limits = rows.map((row) => value(row.cells[column("limit")]));
  const times = rows.map((row) => Number(value(row.cells[column("share_of_time")])));

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
    found.textContent = `${shown} of ${rows.length} rows, ${(100 * share).toFixed(1)} % of the time`;
  };

  const sort = (index) => {
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

  heads.forEach((head, index) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    button.addEventListener("click", () => sort(index));
    head.replaceChildren(button);
  });
  heads[0].setAttribute("aria-sort", "ascending");
  text.addEventListener("input", filter);
  limit.addEventListener("change", filter);
  document.getElementById("save").addEventListener("click", save);
  document.getElementById("find").addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("find").hidden = false;
  filter();
})();

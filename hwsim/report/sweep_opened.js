// One point laid open: its values, its figures among all others, what limits it, and the command that runs it.
"use strict";

const opened = (() => {
  const panel = byId("opened");
  const box = byId("opened-body");
  const quoted = (text) => (/^[A-Za-z0-9_@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

  // The command lines that give the point's full Result: `hwsim compress` first where it has a recipe.
  function commands(i) {
    const own = axes.filter((axis) => axis.at(i) >= 0);
    const of = (kind) => own.find((axis) => axis.kind === kind)?.text(i);
    const parameters = own.filter((axis) => axis.kind === "parameter").flatMap((axis) => ["--param", `${axis.name.slice("workload.".length)}=${Number(axis.text(i))}`]);
    const workload = of("workload") ?? page.workload;
    const recipe = of("recipe") ?? "none";
    const run = ["--design", of("design") ?? page.design];
    if (of("dtype")) run.push("--dtype", of("dtype"));
    if (of("weight_dtype")) run.push("--weight-dtype", of("weight_dtype"));
    for (const axis of own) if (axis.kind === "field") run.push("--set", `${axis.name}=${axis.text(i)}`);
    const join = (words) => words.map(quoted).join(" ");
    const seed = page.seed ? ["--seed", String(page.seed)] : [];
    if (recipe === "none") return join(["hwsim", "run", workload, ...run, ...parameters, ...seed]);
    const folder = `${workload}-${recipe}`.replace(/[^A-Za-z0-9_-]+/g, "_");
    const first = ["hwsim", "compress", workload, "--recipe", recipe, ...parameters, ...seed, "--out", folder];
    return `${join(first)}\n${join(["hwsim", "run", `./${folder}`, ...run])}`;
  }

  // How many feasible points of the same workload are better, and where it lies between the worst and the best.
  function standing(metric, i) {
    const peers = state.peers(i);
    const x = metric.value(i);
    const [low, high] = extent(metric, peers);
    if (!Number.isFinite(x) || !(low < high)) return null;
    const side = metric.better === "min" ? 1 : -1;
    const better = peers.filter((k) => side * (metric.value(k) - x) < 0).length;
    const to = low > 0 && high > SPAN * low ? Math.log : (v) => v;
    const share = (to(x) - to(low)) / (to(high) - to(low));
    return { better, share: Math.max(0, Math.min(1, metric.better === "min" ? 1 - share : share)) };
  }

  function figure(metric, i) {
    const place = standing(metric, i);
    const bar = drawing("svg", { width: "100%", height: 12, "aria-hidden": "true" });
    if (place) {
      bar.append(drawing("rect", { class: "track", width: "100%", height: 12 }));
      bar.append(drawing("rect", { class: objectives.includes(metric) ? "c0" : "c7", width: `${(100 * place.share).toFixed(1)}%`, height: 12 }));
    }
    const words = !place ? "" : place.better === 0 ? "best" : `rank ${(place.better + 1).toLocaleString("en")}`;
    return element("tr", { title: metric.sentence }, element("th", { scope: "row" }, metric.label), element("td", { class: "n" }, metric.text(i) || "not known"), element("td", { class: "bar" }, bar), element("td", { class: "n dim" }, words));
  }

  function rows(heading, list) {
    const facts = element("table", { class: "facts" }, element("caption", {}, heading));
    facts.append(element("tbody", {}, ...list.map(([name, text]) => element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, text)))));
    return facts;
  }

  function verdict(i) {
    if (outcomes.code(i) !== 0) return `It has no figures (${outcomes.text(i)}): ${reasons.text(i)}`;
    if (!flags.feasible[i]) return "It does not meet the constraints.";
    const why = page.choices.filter((choice) => choice.row === i).map((choice) => choice.words);
    if (why.length) return `${why.join("; ")}.`;
    return flags.frontier[i] ? "On the frontier: no other point is better in every objective." : "Not on the frontier: another point is at least as good in every objective, and better in one.";
  }

  function show(i) {
    byId("h-opened").textContent = `Point ${i + 1}`;
    const limit = limits.text(i);
    const facts = [...axes.filter((axis) => axis.at(i) >= 0).map((axis) => [axis.name, axis.text(i)])];
    if (limit) facts.push(["limited by", limit]);
    const parts = [element("p", {}, verdict(i)), rows("The design", facts)];
    if (outcomes.code(i) === 0) {
      const figures = element("table", { class: "bars" }, element("caption", {}, "Its figures ", element("span", { class: "dim" }, "and ranks among the points that meet the constraints; the longer the bar, the nearer to the best")));
      figures.append(element("tbody", {}, ...[...objectives, ...metrics.filter((m) => !objectives.includes(m))].map((metric) => figure(metric, i))));
      parts.push(figures);
    }
    const command = element("pre", { id: "command", tabindex: 0, "aria-label": "Command that runs this point" }, commands(i));
    const copy = element("button", { type: "button", id: "copy" }, "Copy the command");
    copy.addEventListener("click", () => copied(command, copy));
    parts.push(element("p", { class: "note" }, "Run it alone for everything behind these figures, layer by layer:"), command, copy);
    box.replaceChildren(...parts);
  }

  async function copied(command, button) {
    try {
      await navigator.clipboard.writeText(command.textContent);
    } catch {
      getSelection().selectAllChildren(command); // no right to the clipboard: the old way, or the reader's own
      document.execCommand("copy");
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy the command"; }, 2000);
  }

  return { show, reveal: () => { panel.scrollIntoView({ block: "nearest" }); panel.focus({ preventScroll: true }); } };
})();

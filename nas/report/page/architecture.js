/* Chooses an architecture by its position among the points; every view follows. */
function select(i) {
  if (i === undefined || i === null) return;
  state.selected = i;
  const chooser = byId("arch-select");
  if (chooser) {
    if (![...chooser.options].some((option) => option.value === String(i))) {
      chooser.append(el("option", { value: i }, `evaluation ${points.number[i]} · ${points.id[i]}`));
    }
    chooser.value = String(i);
  }
  const link = byId("front-selected");
  if (link) {
    link.replaceChildren("Chosen: ", el("code", {}, points.id[i]), " – ", el("a", { href: "#section-architecture" }, "its operators, diagram and export"));
  }
  for (const button of document.querySelectorAll("button.pick")) {
    button.closest("tr").classList.toggle("chosen", button.dataset.arch === points.id[i]);
  }
  redraw("architecture");
  if (byId("front-plot")?.data) moveFrame();
  if (byId("compare-plot")?.data) moveLine();
}

function figureRows(i) {
  const entry = frontEntry(i);
  const interval = (figure, bounds) => (bounds ? `${figureNumber(figure, bounds[0])} to ${figureText(figure, bounds[1])}` : "");
  const rows = [];
  for (const figure of model.menu) {
    const value = points.values[figure][i];
    if (value === null) continue;
    rows.push([model.figures[figure].label, figureText(figure, value), interval(figure, entry?.intervals[figure]), provenance(i, figure)]);
    const measured = entry?.measured[figure];
    if (measured !== undefined) {
      const off = value ? `, ${measured < value ? "−" : "+"}${percent(Math.abs(measured / value - 1))}` : "";
      rows.push([model.figures[figure].label, figureText(figure, measured), "", `measured${off}`]);
    }
    if (figure === "error" && entry && entry.test_error !== null) {
      const bounds = entry.test_error_interval;
      const text = bounds ? `${fixed(100 * bounds[0], 2)} to ${percent(bounds[1], 2)}` : "";
      rows.push(["test error", percent(entry.test_error, 2), text, "test"]);
    }
  }
  return rows;
}

function tableOf(head, rows, numbers) {
  const cell = (tag, text, n) => el(tag, { class: numbers.includes(n) ? "number" : (tag === "td" && /^[\d ×]+$/.test(text) ? "whole" : null), scope: tag === "th" ? "col" : null }, text);
  return el("table", {},
    el("thead", {}, el("tr", {}, ...head.map((text, n) => cell("th", text, n)))),
    el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map((text, n) => cell("td", text, n))))));
}

function copyButton(text, code) {
  const button = el("button", { type: "button" }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      window.getSelection().selectAllChildren(code);
      button.textContent = "Selected: press Ctrl+C";
    }
  });
  return button;
}

function drawHead(i) {
  const entry = frontEntry(i);
  const command = `${model.export_command} ${quoted(points.id[i])}`;
  const code = el("code", {}, command);
  const place = entry ? `On the front, rank ${entry.rank}.` : "Not on the front.";
  const limit = points.feasible[i] ? "" : " It breaks a limit.";
  byId("arch-head").replaceChildren(
    el("p", {}, el("strong", {}, points.id[i]), ` ${place}${limit}`),
    el("p", { class: "command" }, "Export it: ", code, copyButton(command, code)),
    entry?.export ? el("p", {}, "Already exported: ", el("a", { href: entry.export }, entry.export)) : "",
  );
}

function drawPicks(i) {
  const rows = points.choices
    .map((name, n) => [name, points.picks[i][n]])
    .filter(([, option]) => option >= 0)
    .map(([name, option], n) => [name, points.options[points.choices.indexOf(name)][option]]);
  const lines = points.words[i] ? points.words[i].split("\n") : [];
  byId("arch-picks").replaceChildren(
    el("ul", {}, ...lines.map((line) => el("li", {}, line))),
    el("details", {}, el("summary", {}, `All ${rows.length} choices`), tableOf(["Choice", "Value"], rows, [])),
  );
}

function operatorTable(detail) {
  const order = Number(byId("arch-order").value);
  const small = isOn("arch-small");
  const known = detail.operators.some((row) => row[6] !== null);
  const heavy = known ? 6 : 3;
  const total = detail.operators.reduce((sum, row) => sum + (row[heavy] || 0), 0) || 1;
  let rows = detail.operators.filter((row) => small || row[3] > 0 || row[6] > 0);
  if (order) rows = [...rows].sort((a, b) => (b[order] || 0) - (a[order] || 0));
  const head = ["Operator", "What it does", "Output", "Multiply-accumulates", "Parameters", "Live memory (KiB)",
    known ? "Latency (µs)" : "Latency", `Share of ${known ? "latency" : "multiply-accumulates"}`];
  const body = rows.map((row) => {
    const [name, what, shape, macs, params, live, latency] = row;
    const share = (row[heavy] || 0) / total;
    const bar = el("div", { class: "share", style: `--share:${(100 * share).toFixed(1)}%` }, el("i"), el("span", {}, percent(share)));
    return [name, what, shape.join(" × "), short(macs), short(params), three(live / 1024),
      latency === null ? "–" : three(1000 * latency), bar];
  });
  return tableOf(head, body, [3, 4, 5, 6]);
}

function drawOperators(detail) {
  byId("arch-operators").replaceChildren(operatorTable(detail));
}

function drawArchitecture() {
  const i = state.selected;
  if (i === null) return;
  const detail = model.architectures[points.id[i]];
  drawHead(i);
  byId("arch-figures").replaceChildren(tableOf(["Figure", "Value", "Interval", "Known by"], figureRows(i), [1, 2]));
  drawPicks(i);
  for (const part of ["diagram", "operators"]) {
    if (!detail) {
      const words = "This page keeps operators and diagrams of the front only; for this one run ";
      byId(`arch-${part}`).replaceChildren(el("p", { class: "absent" }, words, el("code", {}, `${model.explain_command} ${quoted(points.id[i])}`)));
    }
  }
  if (!detail) return;
  drawDiagram(byId("arch-diagram"), detail, points.id[i]);
  drawOperators(detail);
}

function setUpArchitecture() {
  const chooser = byId("arch-select");
  if (!chooser || !points.id.length) return;
  const label = (entry) => {
    const parts = model.objectives.map((figure) => figureText(figure, points.values[figure][entry.point]));
    return [`${entry.rank}. ${entry.id}`, ...parts].join(" · ");
  };
  const entries = model.front.map((entry) => [String(entry.point), label(entry)]);
  if (!entries.length) entries.push(["0", `evaluation ${points.number[0]} · ${points.id[0]}`]);
  options(chooser, entries, entries[0][0]);
  chooser.addEventListener("change", () => select(Number(chooser.value)));
  for (const name of ["order", "small"]) {
    byId(`arch-${name}`).addEventListener("change", () => {
      const detail = model.architectures[points.id[state.selected]];
      if (detail) drawOperators(detail);
    });
  }
  view("architecture", drawArchitecture);
  for (const button of document.querySelectorAll("button.pick")) {
    const entry = model.front.find(({ id }) => id === button.dataset.arch);
    button.addEventListener("click", () => {
      select(entry.point);
      byId("section-architecture").scrollIntoView();
    });
  }
}

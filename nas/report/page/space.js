const label = (figure) => model.figures[figure]?.label ?? figure;
const share_ = (value) => (value === null ? "" : value < 0.005 ? "0" : fixed(100 * value, value < 0.1 ? 1 : 0));

/* Per choice two bars: what it decides alone, and with everything it interacts with. */
function drawImportance(figure) {
  const rows = [...model.explored.importance[figure].choices].reverse();
  const target = byId("space-choices");
  target.style.height = `${120 + 26 * rows.length}px`;
  const names = rows.map(([name]) => plain(name));
  const bars = (name, column, fill) => ({
    type: "bar", orientation: "h", name, y: names, x: rows.map((row) => 100 * row[column]), marker: { color: fill },
    hovertemplate: `%{y}: ${name} %{x:.1f} %<extra></extra>`,
  });
  react(target, [bars("alone", 1, colour("bar")), bars("with all it interacts with", 2, colour("random"))], layout({
    barmode: "group", bargap: 0.25,
    legend: legend(1),
    margin: { l: 20, r: 16, t: 20, b: 46 },
    xaxis: axisStyle(brief(`share of the variance of ${label(figure)} (%)`, "share of variance (%)"), { rangemode: "tozero", fixedrange: true }),
    yaxis: axisStyle("", { fixedrange: true, tickfont: { size: 11 } }),
  }), config(false));
}

const percents = (grid) => grid.map((row) => row.map((value) => (value === null ? null : 100 * value)));

function drawStageGrid(figure) {
  const { stages, dimensions, importance } = model.explored;
  const z = importance[figure].stages;
  heatmap("space-stages", {
    x: dimensions, y: stages, z: percents(z), text: (value) => share_(value / 100), title: "share (%)",
    hover: z.map((row, r) => row.map((value, c) => (value === null ? "" : `${plain(stages[r])}, ${plain(dimensions[c])}: ${percent(value)} of the variance`))),
    xTitle: brief("dimension (choices of one kind)", "dimension (kind of choice)"), yTitle: "",
  });
}

function drawPairGrid(figure) {
  const { dimensions, importance } = model.explored;
  const z = importance[figure].pairs.map((row, r) => row.map((value, c) => (c > r ? null : value)));
  heatmap("space-pairs", {
    x: dimensions, y: dimensions, z: percents(z), text: (value) => share_(value / 100), title: "share (%)",
    hover: z.map((row, r) => row.map((value, c) => (value === null ? "" : (r === c
      ? `${plain(dimensions[r])} alone: ${percent(value)}`
      : `${plain(dimensions[r])} and ${plain(dimensions[c])} only together: ${percent(value)}`)))),
    xTitle: brief("dimension (choices of one kind)", "dimension (kind of choice)"), yTitle: "",
  });
}

function drawSpace() {
  const found = model.explored;
  if (!found) return;
  const guessed = found.guesses[byId("space-figure").value];
  byId("space-words").textContent = `The space: ${found.size}. What decides a figure follows from the tables by varying all choices independently `
    + `(Sobol indices, as shares of the variance).${guessed ? ` This figure is guessed from the choices: rank correlation ${three(guessed.spearman)} on ${guessed.count} evaluations left out; as a sum over choices its guess knows interactions only as far as limits on choices make them.` : ""}`;
  const figure = byId("space-figure").value;
  drawImportance(figure);
  drawStageGrid(figure);
  drawPairGrid(figure);
}

function drawRuled() {
  const found = model.explored;
  const holder = byId("ruled");
  if (!found || !Object.keys(found.kept).length) {
    holder.replaceChildren(el("p", { class: "absent" }, "No limit is on a figure that is known without evaluation, so nothing is ruled out beforehand."));
    return;
  }
  const limit = (figure) => (figure ? `${label(figure)} at most ${figureText(figure, model.limits[figure])}` : "all limits");
  const rows = Object.entries(found.kept).map(([figure, kept_]) => [limit(figure), percent(kept_), percent(1 - kept_)]);
  const bars = ([, options_]) => el("div", { class: "values" }, ...options_.filter(([, value]) => value !== null).map(([option, value]) => (
    el("span", { class: "value", style: `--share:${Math.round(100 * value)}%` }, el("b", {}, option), ` ${percent(value, 0)}`))));
  holder.replaceChildren(tableOf(["Limit", "Kept by", "Ruled out"], rows, [1, 2], "What the limits rule out"));
  if (!found.allowed.length) {
    holder.append(el("p", {}, "No option is ruled out more often than another."));
    return;
  }
  holder.append(
    el("p", {}, `Share of the ${found.count.toLocaleString("en-US")} sampled architectures with each option that keeps all limits, where it differs most:`),
    el("div", { class: "scroll wide", tabindex: 0, role: "region", "aria-label": "Options that keep the limits" },
      tableOf(["Choice", "Options, and the share of architectures with them that keep all limits"], found.allowed.map((row) => [row[0], bars(row)]), [], "Options under the limits")),
  );
}

function drawKernels() {
  const most = Math.max(...model.kernels.flatMap((grid) => grid.us_per_mmac.flat()).filter((value) => value !== null));
  byId("kernels").replaceChildren(...model.kernels.flatMap((grid) => [
    el("h4", {}, `Dilation ${grid.dilation}`),
    el("div", { class: "plot", id: `kernels-${grid.dilation}`, role: "figure", "aria-label": `Measured time by group size and kernel at dilation ${grid.dilation}` }),
  ]));
  for (const grid of model.kernels) {
    heatmap(`kernels-${grid.dilation}`, {
      x: grid.kernels, y: grid.groups, z: grid.us_per_mmac, text: three, title: "µs per million MACs", high: most,
      hover: grid.us_per_mmac.map((row, r) => row.map((value, c) => (value === null ? "" : `groups of ${plain(grid.groups[r])}, ${grid.kernels[c]}: ${three(value)} µs per million MACs, median of ${grid.counts[r][c]} shapes`))),
      xTitle: "kernel size (pixels)", yTitle: "group size (channels)",
    });
  }
}

function drawImportances() {
  const holder = byId("importances");
  if (!holder) return;
  holder.replaceChildren(...Object.keys(model.importances).map((figure, n) => (
    el("div", { class: "plot", id: `importance-${n}`, role: "figure", "aria-label": `Importance of choices for ${label(figure)}` }))));
  Object.entries(model.importances).forEach(([figure, rows], n) => {
    const target = byId(`importance-${n}`);
    target.style.height = `${110 + 24 * rows.length}px`;
    const ranked = [...rows].reverse();
    react(target, [{
      type: "bar", orientation: "h", x: ranked.map(([, value]) => 100 * value), y: ranked.map(([name]) => plain(name)),
      marker: { color: colour("bar") }, hovertemplate: "%{y}: %{x:.1f} %<extra></extra>",
    }], layout({
      title: { text: plain(label(figure)), font: { size: 14 }, x: 0, xref: "container", xanchor: "left" },
      margin: { l: 20, r: 16, t: 36, b: 44 },
      xaxis: axisStyle("importance (%)", { rangemode: "tozero", fixedrange: true }),
      yaxis: axisStyle("", { fixedrange: true, tickfont: { size: 12 } }),
    }), config(false));
  });
}

let spaceReady = false;

function setUpSpace() {
  if (model.explored) {
    const figures = Object.keys(model.explored.importance);
    const now = byId("space-figure").value;
    options(byId("space-figure"), figures.map((figure) => [figure, label(figure)]), figures.includes(now) ? now : figures[0]);
  }
  if (spaceReady) return;
  spaceReady = true;
  byId("space-figure").addEventListener("change", () => redraw("space"));
  view("space", "space", drawSpace);
  view("ruled", "space", drawRuled);
  view("kernels", "space", () => { if (model.kernels.length) drawKernels(); });
  view("importances", "space", drawImportances);
}

/* A difference with its sign; of shares in percentage points. */
function signed(figure, value) {
  const size = figureText(figure, Math.abs(value));
  return `${value > 0 ? "+" : value < 0 ? "−" : ""}${model.figures[figure].unit === "%" ? size.replace("%", "points") : size}`;
}

function pairFigures(a, b) {
  return model.menu.filter((figure) => points.values[figure][a] !== null && points.values[figure][b] !== null).map((figure) => {
    const [x, y] = [points.values[figure][a], points.values[figure][b]];
    const known = [provenance(a, figure), provenance(b, figure)];
    return [model.figures[figure].label, figureText(figure, x), figureText(figure, y), signed(figure, y - x),
      x ? `${y < x ? "−" : "+"}${percent(Math.abs(y / x - 1))}` : "–", [...new Set(known)].join(" / ")];
  });
}

function knownBy(figure) {
  if (model.explored.guesses[figure]) return "guessed";
  return provenance(state.chosen, figure) || "tables";
}

/* What every difference costs on the way from one to the other, as rows that add up to the whole difference. */
function stepTable(path, figures) {
  const head = ["Changed, one after the other", ...figures.map((figure) => `${model.figures[figure].title}, ${knownBy(figure)}`)];
  const cells = (before, after) => figures.map((figure) => signed(figure, after[figure] - before[figure]));
  const rows = path.steps.map(({ words, before, after }) => [words, ...cells(before, after)]);
  rows.push([el("strong", {}, "together"), ...cells(path.start, path.end)]);
  return tableOf(head, rows, figures.map((_, n) => n + 1), "What each difference costs");
}

function drawSteps(path, figure) {
  const { title, scale } = model.figures[figure];
  const rows = path.steps.map(({ words, before, after }) => [words, (after[figure] - before[figure]) * scale, before[figure] * scale]);
  const target = byId("pair-plot");
  const ends = [path.start[figure] * scale, path.end[figure] * scale];
  const room = brief(52, 20);
  const crop = (text) => (text.length <= room ? text : narrow() ? `…${text.slice(1 - room)}` : `${text.slice(0, room - 1)}…`);
  const names = [points.id[state.chosen].slice(0, 8), ...rows.map(([words]) => crop(words)), points.id[state.other].slice(0, 8)];
  target.style.height = `${100 + 24 * names.length}px`;
  const bars = [[0, ends[0], colour("quiet")], ...rows.map(([, size, base]) => [base, size, size > 0 ? colour("limit") : colour("front")]), [0, ends[1], colour("quiet")]];
  react(target, [{
    type: "bar", orientation: "h", base: bars.map(([base]) => base), x: bars.map(([, size]) => size), y: names.map((_, n) => n),
    marker: { color: bars.map(([, , fill]) => fill) }, showlegend: false,
    customdata: [points.id[state.chosen], ...rows.map(([words]) => words), points.id[state.other]].map(plain),
    hovertemplate: "%{customdata}<br>%{x:.4g}<extra></extra>",
  }], layout({
    margin: { l: 20, r: 20, t: 8, b: 46 },
    bargap: 0.3,
    xaxis: axisStyle(title, { fixedrange: true }),
    yaxis: axisStyle("", { autorange: "reversed", tickvals: names.map((_, n) => n), ticktext: names.map(plain), fixedrange: true, tickfont: { size: 11 } }),
  }), config(false));
}

function drawPairSteps(a, b) {
  const [holder, plot] = [byId("pair-steps"), byId("pair-plot")];
  const steps = differences(a, b);
  const plainList = () => el("ul", {}, ...steps.map((step) => el("li", {}, stepWords(step))));
  plot.hidden = true;
  byId("pair-figure").parentElement.hidden = true;
  if (isMark(a) || isMark(b)) {
    holder.replaceChildren(el("p", { class: "absent" }, "One of the two is not of this space: only their figures compare."));
  } else if (!steps.length) {
    holder.replaceChildren(el("p", {}, "They make the same choices."));
  } else if (!tabled().length || ![a, b].every((i) => score(optionRow(i)))) {
    holder.replaceChildren(el("p", { class: "absent" }, "This page holds no tables of the space, so single differences have no prices."), plainList());
  } else {
    const path = pathBetween(a, b);
    const figures = tabled();
    const now = byId("pair-figure").value;
    options(byId("pair-figure"), figures.map((figure) => [figure, model.figures[figure]?.title ?? figure]), figures.includes(now) ? now : figures[0]);
    byId("pair-figure").parentElement.hidden = false;
    const guessed = figures.filter((figure) => model.explored.guesses[figure]).map((figure) => model.figures[figure].label);
    const words = `From ${points.id[a]} to ${points.id[b]}, one choice after the other, in the order the space asks. `
      + (guessed.length ? `What is said of ${guessed.join(" and ")} is a guess from the choices alone.` : "");
    holder.replaceChildren(el("p", {}, words), el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Price of each difference" }, stepTable(path, figures)));
    if (!path.whole) holder.append(el("p", { class: "absent" }, "The last of these choices lead to a network that the tables do not know."));
    plot.hidden = false;
    drawSteps(path, byId("pair-figure").value);
  }
}

function drawPair() {
  const [a, b] = [state.chosen, state.other];
  if (a === null) return;
  chooseOption("pair-a", a);
  const missing = b === null || b === a;
  byId("pair-inside").hidden = missing;
  byId("pair-outside").hidden = !missing;
  if (b === null) return;
  chooseOption("pair-b", b);
  if (missing) return;
  const head = ["Figure", points.id[a], points.id[b], "Difference", "Relative", "Known by"];
  byId("pair-figures").replaceChildren(tableOf(head, pairFigures(a, b), [1, 2, 3, 4], "Figures of both"));
  drawPairSteps(a, b);
}

/* What one change would bring: every architecture one choice away, the best for the chosen figure first. */
function drawNeighbours() {
  const [holder, i] = [byId("near"), state.chosen];
  if (i === null || isMark(i) || !tabled().length || !score(optionRow(i))) {
    holder.replaceChildren(el("p", { class: "absent" }, "This page holds no tables of this architecture's space."));
    return;
  }
  const { start, found } = neighbours(i);
  const figures = tabled();
  const by = figures.includes(byId("near-figure").value) ? byId("near-figure").value : figures[0];
  options(byId("near-figure"), figures.map((figure) => [figure, model.figures[figure]?.title ?? figure]), by);
  const best = found.sort((p, q) => p.after[by] - q.after[by]).slice(0, 12);
  const rows = best.map(({ name, from, to, n, after }) => [
    `${name}: ${optionText(n, from)} → ${optionText(n, to)}`, ...figures.map((figure) => signed(figure, after[figure] - start[figure])),
  ]);
  const head = ["One change", ...figures.map((figure) => `${model.figures[figure].title}, ${knownBy(figure)}`)];
  holder.replaceChildren(tableOf(head, rows, figures.map((_, n) => n + 1), "Architectures one choice away"));
}

let pairReady = false;

function setUpPair() {
  if (!hasData("two")) return;
  for (const menu of ["pair-a", "pair-b"]) options(byId(menu), architectureEntries(), "");
  if (state.other === null && model.front.length > 1) state.other = model.front[model.front.length - 1].point;
  if (pairReady) return;
  pairReady = true;
  byId("pair-a").addEventListener("change", () => select(Number(byId("pair-a").value)));
  byId("pair-b").addEventListener("change", () => selectOther(Number(byId("pair-b").value)));
  byId("pair-swap").addEventListener("click", () => {
    const [a, b] = [state.chosen, state.other];
    selectOther(a);
    select(b);
  });
  byId("pair-figure").addEventListener("change", () => redraw("pair"));
  byId("near-figure").addEventListener("change", () => redraw("pair"));
  view("pair", "two", () => { drawPair(); drawNeighbours(); });
}

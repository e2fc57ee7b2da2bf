function pairOf(x, y) {
  const pair = model.pairs[`${x} ${y}`] || model.pairs[`${y} ${x}`];
  return pair || { front: [], knee: null, random: [] };
}

/* Points that the filter keeps in full strength, the others behind them as shadows. */
function cloud(name, members, x, y, marker) {
  const draw = (some, more) => ({
    type: "scatter", mode: "markers", name,
    x: some.map((i) => shown(x, points.values[x][i])),
    y: some.map((i) => shown(y, points.values[y][i])),
    customdata: some, hoverinfo: "none", marker: { ...marker, ...more.marker }, showlegend: more.showlegend,
  });
  const [inside, outside] = [members.filter((i) => kept[i]), members.filter((i) => !kept[i])];
  const shadow = { showlegend: false, marker: { opacity: 0.07, color: colour("point") } };
  const traces = outside.length ? [draw(outside, shadow)] : [];
  return [...traces, draw(inside, { showlegend: true, marker: {} })];
}

function stairs(name, members, x, y, line) {
  const sorted = [...members].sort((a, b) => points.values[x][a] - points.values[x][b]);
  return {
    type: "scatter", mode: "lines", name, hoverinfo: "skip", showlegend: false, line: { shape: "hv", ...line },
    x: sorted.map((i) => shown(x, points.values[x][i])),
    y: sorted.map((i) => shown(y, points.values[y][i])),
  };
}

function errorBars(members, figure) {
  const bounds = members.map((i) => [points.values[figure][i], frontEntry(i)?.intervals[figure]]);
  if (!bounds.some(([, interval]) => interval)) return undefined;
  const { scale } = model.figures[figure];
  return {
    type: "data", symmetric: false, thickness: 1, width: 3, color: colour("front", 0.5),
    array: bounds.map(([value, interval]) => (interval ? Math.max(0, interval[1] - value) * scale : 0)),
    arrayminus: bounds.map(([value, interval]) => (interval ? Math.max(0, value - interval[0]) * scale : 0)),
  };
}

function measuredTraces(members, x, y) {
  const moved = members.filter((i) => kept[i] && [x, y].some((figure) => frontEntry(i).measured[figure] !== undefined));
  if (!moved.length) return [];
  const at = (figure, i) => shown(figure, frontEntry(i).measured[figure] ?? points.values[figure][i]);
  const path = (figure) => moved.flatMap((i) => [shown(figure, points.values[figure][i]), at(figure, i), null]);
  return [
    {
      type: "scatter", mode: "lines", hoverinfo: "skip", showlegend: false, x: path(x), y: path(y),
      line: { color: colour("measured"), width: 1, dash: "dot" },
    },
    {
      type: "scatter", mode: "markers", name: "measured", customdata: moved,
      x: moved.map((i) => at(x, i)), y: moved.map((i) => at(y, i)), hoverinfo: "none",
      marker: { symbol: "diamond-open", size: 8, color: colour("measured"), line: { width: 1.5 } },
    },
  ];
}

/* Limits on the axes as lines; one that lies far off the points is told in words instead. */
function limitShapes(members, x, y, words) {
  const shapes = [];
  const annotations = [];
  for (const [figure, axis] of [[x, "x"], [y, "y"]]) {
    const limit = state.limits.get(figure);
    if (limit === undefined || limit === null) continue;
    const at = shown(figure, limit);
    const values = members.map((i) => shown(figure, points.values[figure][i]));
    const [low, high] = [Math.min(...values), Math.max(...values)];
    if (at < low - 2 * (high - low) || at > high + (high - low || high)) {
      words.push(`The limit on ${model.figures[figure].label} (${figureText(figure, limit)}) lies outside this plot.`);
      continue;
    }
    const across = axis === "y";
    const log = isOn(`log-${axis}`);
    shapes.push({
      type: "line", line: { color: colour("limit"), width: 2, dash: "dash" },
      xref: across ? "paper" : "x", yref: across ? "y" : "paper",
      x0: across ? 0 : at, x1: across ? 1 : at, y0: across ? at : 0, y1: across ? at : 1,
    });
    annotations.push({
      text: plain(`limit ${figureText(figure, limit)}`), showarrow: false, font: { color: colour("limit") }, bgcolor: colour("paper", 0.8),
      xref: across ? "paper" : "x", yref: across ? "y" : "paper",
      x: across ? 1 : (log ? Math.log10(at) : at), y: across ? (log ? Math.log10(at) : at) : 1,
      xanchor: "right", yanchor: across ? "bottom" : "top",
    });
  }
  return { shapes, annotations };
}

/* The points by what they are, in the order they are drawn in. */
function groupsOf(figures) {
  const all = points.id.map((_, i) => i).filter((i) => figures.every((figure) => points.values[figure][i] !== null));
  const rest = all.filter((i) => points.front[i] < 0 && !isMark(i));
  const searched = rest.filter((i) => !points.baseline[i]);
  return {
    all,
    front: all.filter((i) => points.front[i] >= 0),
    random: rest.filter((i) => points.baseline[i]),
    within: searched.filter((i) => points.feasible[i]),
    broken: searched.filter((i) => !points.feasible[i]),
    marks: all.filter(isMark),
  };
}

const LOOKS = {
  random: { symbol: "triangle-up-open", size: 7, color: "random", opacity: 0.75 },
  within: { symbol: "circle", size: 7, color: "point", opacity: 0.65 },
  broken: { symbol: "x-thin-open", size: 7, color: "point", opacity: 0.65, line: { width: 1.5 } },
  marks: { symbol: "square", size: 13, color: "mark", opacity: 1 },
  front: { symbol: "circle", size: 11, color: "front", opacity: 1 },
};
const NAMES = { random: "random search", within: "evaluated", broken: "breaks a limit", marks: "from elsewhere", front: "front" };

function look(kind) {
  const found = { ...LOOKS[kind], color: colour(LOOKS[kind].color) };
  return kind === "front" || kind === "marks" ? { ...found, line: { color: colour("paper"), width: 1 } } : found;
}

/* In the legend, for what is drawn on the canvas. */
const legendEntry = (kind) => ({ type: "scatter", mode: "markers", name: NAMES[kind], x: [null], y: [null], hoverinfo: "skip", marker: look(kind) });

/* Invisible corners, so that the axes reach over what is drawn on the canvas. */
function corners(clouds, density, x, y) {
  const members = clouds.flatMap(([, several]) => several);
  const ends = (figure, edges) => {
    const values = members.map((i) => shown(figure, points.values[figure][i]));
    if (edges) values.push(edges[0], edges[edges.length - 1]);
    const positive = values.filter((value) => value > 0);
    const used = positive.length ? positive : values;
    return used.length ? [used.reduce((a, b) => Math.min(a, b)), used.reduce((a, b) => Math.max(a, b))] : [null, null];
  };
  return {
    type: "scatter", mode: "markers", opacity: 0, hoverinfo: "skip", showlegend: false, marker: { size: 8 },
    x: ends(x, density?.edges[0]), y: ends(y, density?.edges[1]),
  };
}

function frontTraces(groups, clouds, x, y) {
  const pair = pairOf(x, y);
  const traces = clouds.map(([kind]) => legendEntry(kind));
  const third = thirdFigure();
  if (isOn("show-random") && groups.random.length) {
    traces.push(stairs("random search's front", pair.random, x, y, { color: colour("random"), width: 1.5, dash: "dash" }));
  }
  traces.push(stairs("front", pair.front, x, y, { color: colour("front"), width: 2 }));
  if (isOn("show-measured")) traces.push(...measuredTraces(groups.front, x, y));
  if (groups.front.length) {
    const drawn = cloud(NAMES.front, groups.front, x, y, look("front"));
    const last = drawn[drawn.length - 1];
    if (third) last.marker = colouredBy(third, last.customdata, look("front"));
    if (isOn("show-intervals")) {
      Object.assign(last, { error_x: errorBars(last.customdata, x), error_y: errorBars(last.customdata, y) });
    }
    traces.push(...drawn);
  }
  for (const i of groups.marks) {
    const [mark] = cloud(points.id[i], [i], x, y, look("marks")).slice(-1);
    traces.push({ ...mark, text: [plain(points.id[i])], mode: "markers+text", textposition: "top center" });
  }
  if (pair.knee !== null) {
    const marker = { symbol: "star", size: 17, color: colour("knee"), line: { color: colour("paper"), width: 1 } };
    traces.push(...cloud("knee", [pair.knee], x, y, marker).slice(-1));
  }
  return traces;
}

/* Frames around the chosen points lie above the plot: moving them draws nothing of it again. */
function moveFrame() {
  const plot = byId("front-plot");
  const [x, y] = [byId("front-x").value, byId("front-y").value];
  const flat = !inDepth() && plot._fullLayout?.xaxis && points.values[x] && points.values[y];
  for (const [name, i] of [["frame-chosen", state.chosen], ["frame-other", state.other]]) {
    const at = flat && i !== null ? pixelAt(plot, [points.values[x][i], points.values[y][i]], x, y) : null;
    byId(name).hidden = !at;
    if (at) byId(name).style.transform = `translate(${at[0] - 11}px, ${at[1] - 11}px)`;
  }
}

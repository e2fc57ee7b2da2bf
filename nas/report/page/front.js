/* Stands for the order of evaluation among the figures that an axis may show. */
const ORDER = "#";
const isOn = (name) => byId(name).checked;

const hoverTexts = [];

function hoverText(i) {
  hoverTexts[i] ??= describe(i);
  return hoverTexts[i];
}

function describe(i) {
  const entry = frontEntry(i);
  const lines = [`<b>${plain(points.id[i])}</b>`];
  const what = points.number[i] < 0 ? [] : [`evaluation ${points.number[i]}`];
  if (points.proposer[i]) what.push(`proposed by ${points.proposer[i]}`);
  if (entry) what.push(`front, rank ${entry.rank}`);
  if (!points.feasible[i]) what.push("breaks a limit");
  lines.push(plain(what.join(" · ")));
  for (const figure of model.menu) {
    const value = points.values[figure][i];
    if (value === null) continue;
    const notes = [provenance(i, figure)];
    const measured = entry?.measured[figure];
    if (measured !== undefined) notes.push(`measured ${figureText(figure, measured)}`);
    const note = notes.filter(Boolean).join("; ");
    lines.push(plain(`${model.figures[figure].label}: ${figureText(figure, value)}${note ? ` (${note})` : ""}`));
  }
  if (entry && entry.test_error !== null) lines.push(`test error: ${percent(entry.test_error, 2)}`);
  if (points.words[i]) lines.push("", ...points.words[i].split("\n").map(plain));
  return lines.join("<br>");
}

function pairOf(x, y) {
  const pair = model.pairs[`${x} ${y}`] || model.pairs[`${y} ${x}`];
  return pair || { front: [], knee: null, random: [] };
}

/* Points that the filter keeps come first, so that the legend shows them in full strength. */
function cloud(name, unsorted, x, y, marker) {
  const members = [...unsorted.filter(passes), ...unsorted.filter((i) => !passes(i))];
  return {
    type: "scatter", mode: "markers", name,
    x: members.map((i) => shown(x, points.values[x][i])),
    y: members.map((i) => shown(y, points.values[y][i])),
    customdata: members, hoverinfo: "text", hovertext: members.map(hoverText),
    marker: { ...marker, opacity: members.map((i) => (passes(i) ? marker.opacity ?? 1 : 0.08)) },
  };
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
  const bounds = members.map((i) => [points.values[figure][i], passes(i) && frontEntry(i).intervals[figure]]);
  if (!bounds.some(([, interval]) => interval)) return undefined;
  const { scale } = model.figures[figure];
  return {
    type: "data", symmetric: false, thickness: 1, width: 3, color: `rgba(${colour("shade")}, 0.45)`,
    array: bounds.map(([value, interval]) => (interval ? Math.max(0, interval[1] - value) * scale : 0)),
    arrayminus: bounds.map(([value, interval]) => (interval ? Math.max(0, value - interval[0]) * scale : 0)),
  };
}

function measuredTraces(members, x, y) {
  const moved = members.filter((i) => passes(i) && [x, y].some((figure) => frontEntry(i).measured[figure] !== undefined));
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
      x: moved.map((i) => at(x, i)), y: moved.map((i) => at(y, i)),
      hoverinfo: "text", hovertext: moved.map(hoverText),
      marker: { symbol: "diamond-open", size: 8, color: colour("measured"), line: { width: 1.5 } },
    },
  ];
}

function limitShapes(traces, x, y, words) {
  const shapes = [];
  const annotations = [];
  for (const [figure, axis] of [[x, "x"], [y, "y"]]) {
    const limit = model.limits[figure];
    if (limit === undefined || limit === null) continue;
    const at = shown(figure, limit);
    const values = traces.flatMap((trace) => trace[axis]).filter((value) => value !== null);
    const low = Math.min(...values);
    const high = Math.max(...values);
    const label = `limit ${figureText(figure, limit)}`;
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
      text: plain(label), showarrow: false, font: { color: colour("limit") },
      xref: across ? "paper" : "x", yref: across ? "y" : "paper",
      x: across ? 1 : (log ? Math.log10(at) : at), y: across ? (log ? Math.log10(at) : at) : 1,
      xanchor: "right", yanchor: across ? "bottom" : "top",
    });
  }
  return { shapes, annotations };
}

function frontTraces(x, y) {
  const known = points.id.map((_, i) => i).filter((i) => points.values[x][i] !== null && points.values[y][i] !== null);
  const front = known.filter((i) => points.front[i] >= 0);
  const random = known.filter((i) => points.baseline[i] && points.front[i] < 0);
  const rest = known.filter((i) => !points.baseline[i] && points.front[i] < 0);
  const pair = pairOf(x, y);
  const traces = [];
  if (isOn("show-random") && random.length) {
    const marker = { symbol: "triangle-up-open", size: 7, color: colour("random"), opacity: 0.75 };
    traces.push(cloud("random search", random, x, y, marker));
    traces.push(stairs("random search's front", pair.random, x, y, { color: colour("random"), width: 1.5, dash: "dash" }));
  }
  if (isOn("show-evaluated")) {
    const kept = rest.filter((i) => points.feasible[i]);
    const broken = rest.filter((i) => !points.feasible[i]);
    if (kept.length) traces.push(cloud("evaluated", kept, x, y, { size: 7, color: colour("point"), opacity: 0.65 }));
    const marker = { symbol: "x-thin-open", size: 7, color: colour("point"), opacity: 0.65, line: { width: 1.5 } };
    if (broken.length) traces.push(cloud("breaks a limit", broken, x, y, marker));
  }
  traces.push(stairs("front", pair.front, x, y, { color: colour("front"), width: 2 }));
  if (isOn("show-measured")) traces.push(...measuredTraces(front, x, y));
  if (front.length) {
    const trace = cloud("front", front, x, y, { size: 11, color: colour("front"), line: { color: colour("paper"), width: 1 } });
    if (isOn("show-intervals")) {
      Object.assign(trace, { error_x: errorBars(trace.customdata, x), error_y: errorBars(trace.customdata, y) });
    }
    traces.push(trace);
  }
  if (pair.knee !== null) {
    const marker = { symbol: "star", size: 17, color: colour("knee"), line: { color: colour("paper"), width: 1 } };
    traces.push(cloud("knee", [pair.knee], x, y, marker));
  }
  return traces;
}

/* A frame around the chosen point, as a shape of fixed size: moving it does not draw the points again. */
function frame(x, y) {
  const share = (figure, axis) => {
    const value = state.selected === null ? null : shown(figure, points.values[figure][state.selected]);
    if (value === null) return null;
    const [low, high] = byId("front-plot").layout[`${axis}axis`].range;
    const at = ((isOn(`log-${axis}`) ? Math.log10(value) : value) - low) / (high - low);
    return at >= 0 && at <= 1 ? at : null;
  };
  const [across, up] = [share(x, "x"), share(y, "y")];
  if (across === null || up === null) return [];
  return [{
    type: "rect", xref: "paper", yref: "paper", xsizemode: "pixel", ysizemode: "pixel", xanchor: across, yanchor: up,
    x0: -10, x1: 10, y0: -10, y1: 10, line: { color: colour("ink"), width: 2.5 },
  }];
}

let limitLines = [];

function moveFrame() {
  Plotly.relayout("front-plot", { shapes: [...limitLines, ...frame(byId("front-x").value, byId("front-y").value)] });
}

function drawFront() {
  const [x, y] = [byId("front-x").value, byId("front-y").value];
  const traces = frontTraces(x, y);
  const words = [];
  const limits = isOn("show-limits") ? limitShapes(traces, x, y, words) : { shapes: [], annotations: [] };
  for (const figure of Object.keys(model.limits)) {
    if (figure !== x && figure !== y && model.menu.includes(figure)) {
      words.push(`The limit on ${model.figures[figure].label} is on neither axis.`);
    }
  }
  words.push("A click on a point shows that architecture below; a frame marks it.");
  limitLines = limits.shapes;
  byId("front-note").textContent = words.join(" ");
  const kind = (axis) => (isOn(`log-${axis}`) ? "log" : "linear");
  Plotly.react("front-plot", traces, layout({
    ...limits,
    uirevision: `${x} ${y} ${kind("x")} ${kind("y")}`,
    xaxis: axisStyle(model.figures[x].title, { type: kind("x") }),
    yaxis: axisStyle(model.figures[y].title, { type: kind("y") }),
  }), config()).then(moveFrame);
}

function setUpFront() {
  if (!byId("front-plot") || !model.menu.length) return;
  model.figures[ORDER] = { label: "evaluation", unit: "in order", title: "evaluation (number, in order)", scale: 1 };
  points.values[ORDER] = points.number;
  const entries = [...model.menu, ORDER].map((figure) => [figure, model.figures[figure].title]);
  const [first, second] = [...new Set([...model.objectives, ...model.menu, ORDER])];
  options(byId("front-x"), entries, second);
  options(byId("front-y"), entries, first);
  for (const control of ["front-x", "front-y", "log-x", "log-y"]) byId(control).addEventListener("change", drawFront);
  for (const what of ["evaluated", "random", "intervals", "measured", "limits"]) {
    byId(`show-${what}`).addEventListener("change", drawFront);
  }
  view("front", drawFront);
  drawView(views[views.length - 1]);
  byId("front-plot").on("plotly_relayout", (change) => {
    if (Object.keys(change).some((key) => /^[xy]axis/.test(key))) moveFrame();
  });
  byId("front-plot").on("plotly_click", (event) => select(event.points[0].customdata));
}

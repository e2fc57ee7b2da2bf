/* A third figure, as the front's colour or as a third axis, and what the front view draws in the end. */
function thirdFigure() {
  const figure = byId("front-z").value;
  return figure && points.values[figure] ? figure : null;
}

const inDepth = () => Boolean(thirdFigure()) && isOn("in-depth");

function colouredBy(figure, members, marker) {
  const { scale, title } = model.figures[figure];
  const values = members.map((i) => (points.values[figure][i] ?? 0) * scale);
  return {
    ...marker, color: values, colorscale: scaleStops(), showscale: true,
    colorbar: { title: { text: plain(title), side: "right" }, thickness: 12, outlinewidth: 0, len: 0.8 },
  };
}

/* Blue to orange over grey: apart for every kind of colour vision, and on both papers. */
const scaleStops = () => [[0, colour("series1")], [0.5, colour("middle")], [1, colour("series2")]];

function cloud3d(kind, members, figures, more) {
  const [x, y, z] = figures;
  const style = look(kind);
  const some = members.filter((i) => kept[i]);
  return {
    type: "scatter3d", mode: "markers", name: NAMES[kind], customdata: some, hoverinfo: "none",
    x: some.map((i) => shown(x, points.values[x][i])), y: some.map((i) => shown(y, points.values[y][i])),
    z: some.map((i) => shown(z, points.values[z][i])),
    marker: { color: style.color, opacity: style.opacity, size: kind === "front" ? 5 : 3, symbol: kind === "random" ? "diamond-open" : "circle" },
    ...more,
  };
}

/* A limit on one of three axes is a plane across the other two. */
function limitPlanes(members, figures) {
  const ends = figures.map((figure) => {
    const values = members.map((i) => shown(figure, points.values[figure][i]));
    return [Math.min(...values), Math.max(...values)];
  });
  return figures.flatMap((figure, axis) => {
    const limit = state.limits.get(figure);
    if (limit === undefined || limit === null) return [];
    const at = shown(figure, limit);
    if (at > 2 * ends[axis][1] - ends[axis][0]) return [];
    const others = [0, 1, 2].filter((other) => other !== axis);
    const corners = [[0, 0], [1, 0], [1, 1], [0, 1]].map((corner) => {
      const place = [at, at, at];
      others.forEach((other, k) => { place[other] = ends[other][corner[k]]; });
      return place;
    });
    return [{
      type: "mesh3d", x: corners.map((c) => c[0]), y: corners.map((c) => c[1]), z: corners.map((c) => c[2]),
      i: [0, 0], j: [1, 2], k: [2, 3], color: colour("limit"), opacity: 0.25, hoverinfo: "skip",
      name: `limit ${figureText(figure, limit)}`, showlegend: true,
    }];
  });
}

function draw3d(groups, figures, words) {
  const traces = [];
  if (isOn("show-random") && groups.random.length) traces.push(cloud3d("random", groups.random, figures));
  if (isOn("show-evaluated")) {
    for (const kind of ["within", "broken"]) if (groups[kind].length) traces.push(cloud3d(kind, groups[kind], figures));
  }
  if (groups.marks.length) traces.push(cloud3d("marks", groups.marks, figures));
  traces.push(cloud3d("front", groups.front, figures));
  if (isOn("show-limits")) traces.push(...limitPlanes(groups.all, figures));
  const axis = (figure, log) => ({
    title: { text: plain(model.figures[figure].title) }, type: log ? "log" : "linear", color: colour("ink"),
    gridcolor: colour("grid"), backgroundcolor: colour("panel"), showbackground: true,
  });
  words.push("Drag to turn; the density is drawn in two dimensions only.");
  return react("front-plot", traces, layout({
    uirevision: figures.join(" "),
    margin: { l: 0, r: 0, t: 20, b: 0 },
    scene: {
      xaxis: axis(figures[0], isOn("log-x")), yaxis: axis(figures[1], isOn("log-y")), zaxis: axis(figures[2], false),
      camera: { eye: { x: 1.7, y: 1.5, z: 0.8 } },
    },
  }));
}

function densityWords({ total }, x, y) {
  const guessed = [x, y].filter((figure) => model.explored.guesses[figure]).map((figure) => model.figures[figure].label);
  return `Shaded: ${total.toLocaleString("en-US")} of ${model.explored.count.toLocaleString("en-US")} architectures sampled from the `
    + "whole space and scored without evaluation; stronger cells hold more."
    + (guessed.length ? ` Their ${guessed.join(" and ")} is guessed from the choices (see Trust).` : "");
}

function draw2d(groups, x, y, words) {
  const [logX, logY] = [isOn("log-x"), isOn("log-y")];
  const density = isOn("show-density") && canShowDensity(x, y) ? densityOf(x, y, logX, logY) : null;
  if (density) words.push(densityWords(density, x, y));
  const wanted = [...(isOn("show-random") ? ["random"] : []), ...(isOn("show-evaluated") ? ["within", "broken"] : [])];
  const clouds = wanted.filter((kind) => groups[kind].length).map((kind) => [kind, groups[kind]]);
  scene = { x, y, density, clouds, marked: [...groups.marks, ...groups.front] };
  const traces = [...frontTraces(groups, clouds, x, y), corners(clouds, density, x, y)];
  const limits = isOn("show-limits") ? limitShapes(groups.all, x, y, words) : { shapes: [], annotations: [] };
  const kind = (log) => (log ? "log" : "linear");
  return react("front-plot", traces, layout({
    ...limits,
    uirevision: `${x} ${y} ${kind(logX)} ${kind(logY)}`,
    legend: { ...legend(), itemclick: false, itemdoubleclick: false },
    xaxis: axisStyle(model.figures[x].title, { type: kind(logX) }),
    yaxis: axisStyle(model.figures[y].title, { type: kind(logY) }),
  })).then(followAxes);
}

/* What lies before and behind the plot moves with its axes. */
function followAxes() {
  paintCloud();
  moveFrame();
}

let drawnIn = null;

function drawFront() {
  const [x, y, z] = [byId("front-x").value, byId("front-y").value, thirdFigure()];
  const words = [];
  const deep = inDepth();
  const target = byId("front-plot");
  if (drawnIn !== null && drawnIn !== deep) Plotly.purge(target);
  const fresh = drawnIn !== deep;
  drawnIn = deep;
  const done = deep ? draw3d(groupsOf([x, y, z]), [x, y, z], words) : draw2d(groupsOf([x, y]), x, y, words);
  for (const [figure, limit] of state.limits) {
    if (limit !== null && ![x, y, deep ? z : x].includes(figure) && model.menu.includes(figure)) {
      words.push(`The limit on ${model.figures[figure].label} is on no axis.`);
    }
  }
  words.push("A click on a point chooses it; with Shift held it is the one to compare with.");
  byId("front-note").textContent = words.join(" ");
  if (fresh) done.then(() => listenToFront(target));
  if (deep) followAxes();
}

function listenToFront(target) {
  target.removeAllListeners?.();
  if (inDepth()) pickable(target);
  else target.on("plotly_relayout", followAxes);
}

function frontMenus() {
  const entries = [...model.menu, ORDER].map((figure) => [figure, model.figures[figure].title]);
  const [first, second] = [...new Set([...model.objectives, ...model.menu, ORDER])];
  const now = (name, standard) => (entries.some(([figure]) => figure === byId(name).value) ? byId(name).value : standard);
  options(byId("front-x"), entries, now("front-x", second));
  options(byId("front-y"), entries, now("front-y", first));
  options(byId("front-z"), [["", "none"], ...entries], now("front-z", ""));
}

let frontReady = false;

function setUpFront() {
  if (!hasData("points")) return;
  frontMenus();
  byId("show-density").disabled = !model.explored;
  if (frontReady) return;
  frontReady = true;
  for (const control of ["front-x", "front-y", "front-z", "log-x", "log-y", "in-depth"]) {
    byId(control).addEventListener("change", () => {
      byId("in-depth").disabled = !thirdFigure();
      redraw("front");
    });
  }
  byId("in-depth").disabled = !thirdFigure();
  for (const what of ["evaluated", "random", "intervals", "measured", "limits", "density"]) {
    byId(`show-${what}`).addEventListener("change", () => redraw("front"));
  }
  listenToCloud();
  view("front", "front", drawFront);
}

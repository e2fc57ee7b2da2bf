/* Axes of the side-by-side plot: choices, then figures; each runs from its smallest to its largest value. */
function compareAxes() {
  const figures = model.menu.filter((figure) => model.objectives.includes(figure) || figure in model.limits);
  const columns = [
    ...model.axes.map((axis) => ({ ...axis, text: (value) => tickText(axis, value) })),
    ...figures.map((figure) => ({
      label: model.figures[figure].label, unit: model.figures[figure].unit, ticks: [],
      values: points.values[figure].map((value) => shown(figure, value)), text: three,
    })),
  ];
  return columns.map((axis) => {
    const known = axis.values.filter((value) => value !== null);
    const low = known.reduce((a, b) => Math.min(a, b), Infinity);
    const high = known.reduce((a, b) => Math.max(a, b), -Infinity);
    const place = (value) => (value === null ? null : (high > low ? (value - low) / (high - low) : 0.5));
    return { ...axis, low, high, place };
  }).filter((axis) => axis.low <= axis.high);
}

function tickText(axis, value) {
  const found = axis.ticks.find(([position]) => position === value);
  return found ? found[1] : short(Number(value.toPrecision(3)));
}

function lines(name, members, axes, line, more) {
  const break_ = (list) => list.flatMap((part) => [...part, null]);
  return {
    type: "scatter", mode: "lines+markers", name,
    x: break_(members.map(() => axes.map((_, a) => a))),
    y: break_(members.map((i) => axes.map((axis) => axis.place(axis.values[i])))),
    customdata: members.flatMap((i) => Array(axes.length + 1).fill(i)),
    hoverinfo: "text",
    hovertext: members.flatMap((i) => Array(axes.length + 1).fill(hoverText(i))),
    line, marker: { size: 4, color: line.color }, ...more,
  };
}

const MIDDLE = [[0, "#0072b2"], [0.5, "#9a8fa0"], [1, "#d55e00"]];

function scaleColour(stops, share) {
  const next = Math.max(1, stops.findIndex(([at]) => at >= share));
  const [[from, a], [to, b]] = [stops[next - 1], stops[next]];
  const t = (share - from) / (to - from);
  const channel = (hex, k) => parseInt(hex.slice(1 + 2 * k, 3 + 2 * k), 16);
  return `rgb(${[0, 1, 2].map((k) => Math.round(channel(a, k) + t * (channel(b, k) - channel(a, k)))).join(",")})`;
}

function compareTraces(axes) {
  const all = points.id.map((_, i) => i);
  const kept = all.filter(passes);
  const rest = kept.filter((i) => points.front[i] < 0);
  const front = kept.filter((i) => points.front[i] >= 0);
  const traces = [];
  const random = rest.filter((i) => points.baseline[i]);
  const searched = rest.filter((i) => !points.baseline[i]);
  if (isOn("compare-random")) traces.push(lines("random search", random, axes, { color: colour("random"), width: 0.6 }, { opacity: 0.35 }));
  if (isOn("compare-evaluated")) traces.push(lines("evaluated", searched, axes, { color: colour("point"), width: 0.6 }, { opacity: 0.35 }));
  const figure = byId("compare-colour").value;
  const values = front.map((i) => points.values[figure]?.[i] ?? null);
  const known = model.front.map((entry) => points.values[figure]?.[entry.point] ?? null).filter((value) => value !== null);
  const [low, high] = [Math.min(...known), Math.max(...known)];
  front.forEach((i, n) => {
    const share = values[n] === null || high === low ? 0 : (values[n] - low) / (high - low);
    const line = { color: scaleColour(MIDDLE, share), width: 2 };
    traces.push(lines("front", [i], axes, line, { showlegend: n === 0 }));
  });
  if (front.length && known.length) {
    const { scale, title } = model.figures[figure];
    traces.push({
      type: "scatter", mode: "markers", x: [null], y: [null], showlegend: false, hoverinfo: "skip",
      marker: {
        color: [low * scale], cmin: low * scale, cmax: (high > low ? high : low + 1e-9) * scale, colorscale: MIDDLE,
        showscale: true, colorbar: { title: { text: plain(title), side: "right" }, thickness: 12, outlinewidth: 0 },
      },
    });
  }
  return traces;
}

/* The chosen architecture's line as a shape: moving it does not draw the other lines again. */
function chosenLine(axes) {
  if (state.selected === null) return [];
  const places = axes.map((axis, a) => [a, axis.place(axis.values[state.selected])]);
  let pen = "M";
  const path = places.map(([a, at]) => {
    const step = at === null ? "" : `${pen}${a},${at}`;
    pen = at === null ? "M" : "L";
    return step;
  }).join("");
  return path ? [{ type: "path", path, line: { color: colour("ink"), width: 3.5 } }] : [];
}

function moveLine() {
  Plotly.relayout("compare-plot", { shapes: chosenLine(compareAxes()) });
}

function drawCompare() {
  const axes = compareAxes();
  const target = byId("compare-plot");
  target.style.minWidth = `${Math.max(narrow() ? 640 : 0, axes.length * 62 + 160)}px`;
  target.style.height = "520px";
  const ends = axes.flatMap((axis, a) => [
    { x: a, y: 1.045, text: plain(axis.text(axis.high)), yanchor: "middle" },
    { x: a, y: -0.045, text: plain(axis.text(axis.low)), yanchor: "middle" },
  ].map((note) => ({ ...note, showarrow: false, font: { size: 11, color: colour("quiet") } })));
  const label = (axis) => `${plain(axis.label).replace(/[._]/g, " ")}<br>${axis.unit ? `(${plain(axis.unit)})` : " "}`;
  Plotly.react(target, compareTraces(axes), layout({
    uirevision: "compare",
    selections: target.layout?.selections || [],
    newselection: { line: { color: colour("ink"), width: 1.5, dash: "dot" } },
    dragmode: narrow() ? false : "select",
    selectdirection: "d",
    shapes: chosenLine(axes),
    margin: { l: 30, r: 30, t: 30, b: 90 },
    annotations: ends,
    xaxis: {
      tickvals: axes.map((_, a) => a), ticktext: axes.map(label), tickangle: -40, range: [-0.4, axes.length - 0.6],
      gridcolor: colour("line"), zeroline: false, automargin: true, tickfont: { size: 11 },
    },
    yaxis: { visible: false, range: [-0.09, 1.09] },
    legend: { ...legend(), y: 1.06, entrywidth: 0, entrywidthmode: "pixels" },
  }), config(false));
  const kept = points.id.filter((_, i) => passes(i)).length;
  const front = points.front.filter((place, i) => place >= 0 && passes(i)).length;
  byId("compare-note").textContent = state.filter.length
    ? `${kept} of ${points.id.length} architectures pass, ${front} of them on the front.` : "";
  byId("compare-clear").disabled = !state.filter.length;
}

function brushed() {
  const axes = compareAxes();
  const perAxis = new Map();
  for (const box of byId("compare-plot").layout.selections || []) {
    const [left, right] = [box.x0, box.x1].sort((a, b) => a - b);
    const [low, high] = [box.y0, box.y1].sort((a, b) => a - b);
    axes.forEach((axis, a) => {
      if (a < left || a > right) return;
      const test = (i) => {
        const at = axis.place(axis.values[i]);
        return at !== null && at >= low && at <= high;
      };
      perAxis.set(a, [...(perAxis.get(a) || []), test]);
    });
  }
  state.filter = [...perAxis.values()];
  redraw("compare", "front");
}

function clearFilter() {
  Plotly.relayout("compare-plot", { selections: [] });
}

function setUpCompare() {
  if (!byId("compare-plot") || !model.menu.length) return;
  options(byId("compare-colour"), model.menu.map((figure) => [figure, model.figures[figure].title]), model.objectives[0]);
  for (const name of ["colour", "evaluated", "random"]) byId(`compare-${name}`).addEventListener("change", drawCompare);
  byId("compare-clear").addEventListener("click", clearFilter);
  view("compare", drawCompare);
  drawView(views[views.length - 1]);
  const target = byId("compare-plot");
  target.on("plotly_relayout", (change) => {
    if (Object.keys(change).some((key) => key.startsWith("selections"))) brushed();
  });
  target.on("plotly_click", (event) => select(event.points[0].customdata));
}

function drawImportances() {
  const holder = byId("importances");
  if (!holder.children.length) {
    Object.keys(model.importances).forEach((figure, n) => {
      const label = model.figures[figure]?.label || figure;
      holder.append(el("div", { class: "plot", id: `importance-${n}`, role: "figure", "aria-label": `Importance of choices for ${label}` }));
    });
  }
  Object.entries(model.importances).forEach(([figure, rows], n) => {
    const target = byId(`importance-${n}`);
    target.style.height = `${110 + 24 * rows.length}px`;
    const kept = [...rows].reverse();
    Plotly.react(target, [{
      type: "bar", orientation: "h", x: kept.map(([, value]) => 100 * value), y: kept.map(([name]) => plain(name)),
      marker: { color: colour("bar") }, hovertemplate: "%{y}: %{x:.1f} %<extra></extra>",
    }], layout({
      title: { text: plain(model.figures[figure]?.label || figure), font: { size: 14 }, x: 0, xref: "container", xanchor: "left" },
      margin: { l: 20, r: 16, t: 36, b: 44 },
      xaxis: axisStyle("importance (%)", { rangemode: "tozero", fixedrange: true }),
      yaxis: axisStyle("", { fixedrange: true, tickfont: { size: 12 } }),
    }), config(false));
  });
}

function setUpImportances() {
  if (!byId("importances")) return;
  view("importances", drawImportances);
  drawView(views[views.length - 1]);
}

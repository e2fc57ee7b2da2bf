/* What all Plotly plots of the page share. */
const react = (target, traces, look, settings) => Plotly.react(target, traces, look, settings || config());

function axisStyle(title, more) {
  return {
    title: { text: plain(title), standoff: 8 },
    gridcolor: colour("grid"),
    linecolor: colour("line"),
    zeroline: false,
    automargin: true,
    ...more,
  };
}

/* What a narrow window has room for. */
const brief = (words, short_) => (narrow() ? short_ : words);

/* Above the plot; in columns where it is narrow, so few as its words need. */
function legend(most = 2) {
  const columns = narrow() ? { entrywidth: 0.96 / most, entrywidthmode: "fraction", font: { size: 11 } } : {};
  return { traceorder: "normal", orientation: "h", x: 0, y: 1.02, yanchor: "bottom", xanchor: "left", ...columns };
}

function layout(more) {
  return {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: getComputedStyle(document.body).fontFamily, size: narrow() ? 12 : 13, color: colour("ink") },
    margin: { l: 60, r: narrow() ? 12 : 24, t: 20, b: 50 },
    hoverlabel: {
      bgcolor: colour("panel"), bordercolor: colour("line"), align: "left", font: { color: colour("ink"), size: 12 },
    },
    modebar: { orientation: "v", bgcolor: "rgba(0,0,0,0)", color: colour("quiet"), activecolor: colour("front") },
    legend: legend(),
    hovermode: "closest",
    dragmode: narrow() ? false : "zoom",
    ...more,
  };
}

/* No button leads off the page: nothing is ever sent anywhere. */
const config = (buttons = true) => ({
  responsive: true, displaylogo: false, plotlyServerURL: "", showSendToCloud: false,
  displayModeBar: buttons && !narrow() ? "hover" : false,
  modeBarButtonsToRemove: ["autoScale2d", "select2d", "lasso2d"],
  toImageButtonOptions: { format: "svg" },
});

/* Ticks of a logarithmic axis from `low` to `high`: 1, 2 and 5 of each power, fewer over many powers. */
function logTicks(low, high) {
  const steps = Math.log10(high / low) > 2 ? [1] : [1, 2, 5];
  const tickvals = [...Array(30).keys()].flatMap((power) => steps.map((step) => step * 10 ** (power - 15)));
  return { tickvals, ticktext: tickvals.map(short) };
}

/* From pale to strong, readable without telling red from green; the same for every heat map. */
const heatScale = () => [[0, colour("heat0")], [0.5, colour("heat1")], [1, colour("heat2")]];

/* A heat map with its numbers in the cells; `null` cells stay empty. */
function heatmap(name, { x, y, z, text, title, hover, xTitle, yTitle, high }) {
  const known = z.flat().filter((value) => value !== null);
  const most = high ?? Math.max(...known, 1e-12);
  const target = byId(name);
  target.style.height = `${130 + 30 * y.length}px`;
  const strong = (value) => value / most > 0.55;
  const cells = y.flatMap((_, r) => x.map((__, c) => ({ r, c, value: z[r][c] }))).filter(({ value }) => value !== null);
  react(target, [{
    type: "heatmap", x: x.map((_, c) => c), y: y.map((_, r) => r), z, zmin: 0, zmax: most, colorscale: heatScale(), xgap: 2, ygap: 2,
    hoverongaps: false, customdata: hover, hovertemplate: "%{customdata}<extra></extra>",
    colorbar: { title: { text: plain(title), side: "right" }, thickness: 12, outlinewidth: 0 }, showscale: !narrow(),
  }], layout({
    margin: { l: 20, r: 16, t: 10, b: 50 },
    annotations: cells.map(({ r, c, value }) => ({
      x: c, y: r, text: text(value), showarrow: false, font: { size: narrow() ? 10 : 12, color: strong(value) ? colour("heatInk") : colour("ink") },
    })),
    xaxis: axisStyle(xTitle, { tickvals: x.map((_, c) => c), ticktext: x.map(plain), fixedrange: true, showgrid: false }),
    yaxis: axisStyle(yTitle, { tickvals: y.map((_, r) => r), ticktext: y.map(plain), fixedrange: true, showgrid: false, autorange: "reversed" }),
  }), config(false));
}

/* What is told of a point under the pointer; one box for all plots. */
function describe(i) {
  const entry = frontEntry(i);
  const lines = [el("strong", {}, points.id[i])];
  const what = points.number[i] < 0 ? [] : [`evaluation ${points.number[i]}`];
  if (isMark(i)) what.push(model.marks[i - points.evaluated].words);
  else if (proposer(i)) what.push(`proposed by ${proposer(i)}`);
  if (entry) what.push(`front, rank ${entry.rank}`);
  if (!points.feasible[i]) what.push("breaks a limit");
  lines.push(what.join(" · "));
  for (const figure of model.menu) {
    const value = points.values[figure][i];
    if (value === null) continue;
    const notes = [provenance(i, figure)];
    const measured = entry?.measured[figure];
    if (measured !== undefined) notes.push(`measured ${figureText(figure, measured)}`);
    const note = notes.filter(Boolean).join("; ");
    lines.push(`${model.figures[figure].label}: ${figureText(figure, value)}${note ? ` (${note})` : ""}`);
  }
  if (entry && entry.test_error !== null) lines.push(`test error: ${percent(entry.test_error, 2)}`);
  lines.push(...wordsOf(i));
  return lines;
}

function showTip(i, event) {
  const tip = byId("tip");
  tip.replaceChildren(...describe(i).map((line) => el("div", {}, line)));
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  const x = event.clientX + 16 + width > window.innerWidth ? event.clientX - 16 - width : event.clientX + 16;
  const y = Math.min(Math.max(8, event.clientY - height / 2), window.innerHeight - height - 8);
  tip.style.transform = `translate(${Math.max(8, x)}px, ${Math.max(8, y)}px)`;
}

const hideTip = () => { byId("tip").hidden = true; };

/* A click on a point chooses it, with Shift or Ctrl held it becomes the one to compare with. */
function pickable(target) {
  target.on("plotly_click", (event) => {
    const i = event.points[0].customdata;
    if (typeof i !== "number") return;
    const second = event.event && (event.event.shiftKey || event.event.ctrlKey || event.event.metaKey);
    if (second) selectOther(i);
    else select(i);
  });
  target.on("plotly_hover", (event) => {
    const i = event.points[0].customdata;
    if (typeof i === "number") showTip(i, event.event);
  });
  target.on("plotly_unhover", hideTip);
}

const compared = JSON.parse(byId("data").textContent);

/* The points that no other of the same front beats in both figures, by rising x, as the corners of a staircase. */
function stairs(xs, ys) {
  const order = xs.map((_, i) => i).sort((a, b) => xs[a] - xs[b] || ys[a] - ys[b]);
  const corners = [];
  let best = Infinity;
  for (const i of order) {
    if (ys[i] < best) {
      corners.push(i);
      best = ys[i];
    }
  }
  return corners;
}

function fronts(x, y) {
  const scaled = (values, name) => values[name].map((value) => value * compared.figures[name].scale);
  const colourOf = series(compared.fronts.length);
  return compared.fronts.flatMap((front, n) => {
    const [xs, ys] = [scaled(front.values, x), scaled(front.values, y)];
    const corners = stairs(xs, ys);
    const shared = { type: "scatter", legendgroup: front.name, name: plain(front.name) };
    const marker = { color: colourOf[n], symbol: SYMBOLS[n % SYMBOLS.length], size: 9 };
    return [
      { ...shared, mode: "lines", showlegend: false, hoverinfo: "skip", x: corners.map((i) => xs[i]), y: corners.map((i) => ys[i]), line: { color: colourOf[n], width: 1, shape: "hv" } },
      { ...shared, mode: "markers", x: xs, y: ys, marker, text: front.ids.map(plain), hovertemplate: "%{text}<br>%{x:.4g}, %{y:.4g}<extra>%{fullData.name}</extra>" },
    ];
  });
}

function marks(x, y) {
  const known = compared.marks.filter((mark) => mark.values[x] !== null && mark.values[y] !== null);
  if (!known.length) return [];
  return [{
    type: "scatter", mode: "markers+text", name: "your own", textposition: "top center",
    x: known.map((mark) => mark.values[x] * compared.figures[x].scale),
    y: known.map((mark) => mark.values[y] * compared.figures[y].scale),
    text: known.map((mark) => plain(mark.name)),
    marker: { color: colour("ink"), symbol: "star", size: 13 },
    hovertemplate: "%{text}<br>%{x:.4g}, %{y:.4g}<extra></extra>",
  }];
}

function draw() {
  const [x, y] = [byId("across").value, byId("up").value];
  const axis = (name) => ({ title: { text: plain(compared.figures[name].title) }, gridcolor: colour("grid"), linecolor: colour("line"), zeroline: false, automargin: true });
  const layout = {
    margin: { l: 60, r: 16, t: 16, b: 60 }, paper_bgcolor: colour("paper"), plot_bgcolor: colour("paper"),
    font: { color: colour("ink"), size: 13 }, legend: { orientation: "h", y: 1.08 }, hovermode: "closest",
    xaxis: axis(x), yaxis: axis(y),
  };
  Plotly.react("fronts", [...fronts(x, y), ...marks(x, y)], layout, { responsive: true, displaylogo: false, displayModeBar: narrow() ? false : "hover" });
  const missing = compared.marks.filter((mark) => mark.values[x] === null || mark.values[y] === null).map((mark) => mark.name);
  say(missing.length ? `Not drawn, since one of these figures is not known: ${missing.join(", ")}.` : "");
}

function begin() {
  const entries = compared.objectives.map((name) => [name, compared.figures[name].title]);
  options(byId("across"), entries, compared.objectives[compared.objectives.length > 1 ? 1 : 0]);
  options(byId("up"), entries, compared.objectives[0]);
  for (const name of ["across", "up"]) byId(name).addEventListener("change", draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    colours.clear();
    draw();
  });
  draw();
  document.documentElement.dataset.ready = "true";
}

try {
  begin();
} catch (error) {
  trouble(`The plot cannot be drawn: ${error.message}`);
}

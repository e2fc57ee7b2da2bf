function drawHypervolume() {
  const { search, random, unit } = model.hypervolume;
  const curve = (name, rows, look) => ({
    type: "scatter", name, mode: rows.length > 1 ? "lines" : "markers", line: { shape: "hv", width: 2, ...look },
    marker: { color: look.color }, x: rows.map(([count]) => count), y: rows.map(([, value]) => value),
    hovertemplate: `${name}: %{y:.5g} after %{x} evaluations<extra></extra>`,
  });
  const traces = [];
  if (random.length) traces.push(curve("random search", random, { color: colour("random"), dash: "dash" }));
  if (search.length) traces.push(curve("this search", search, { color: colour("front") }));
  react("hypervolume", traces, layout({
    xaxis: axisStyle("architectures evaluated", { rangemode: "tozero" }),
    yaxis: axisStyle(`hypervolume (${unit})`, {}),
    showlegend: true,
  }), config());
}

function drawTested() {
  const entries = model.front.filter((entry) => entry.test_error !== null);
  const ranks = entries.map((entry) => entry.rank);
  const column = (name, look, value, bounds) => {
    const bars = entries.map((entry) => [value(entry), bounds(entry)]);
    return {
      type: "scatter", mode: "markers", name, x: entries.map((entry) => entry.rank + look.shift), y: bars.map(([v]) => (v === null ? null : 100 * v)),
      marker: { color: colour(look.colour), symbol: look.symbol, size: 10 }, customdata: entries.map((entry) => entry.point),
      error_y: {
        type: "data", symmetric: false, thickness: 1.5, width: 4, color: colour(look.colour),
        array: bars.map(([v, b]) => (b && v !== null ? Math.max(0, 100 * (b[1] - v)) : 0)),
        arrayminus: bars.map(([v, b]) => (b && v !== null ? Math.max(0, 100 * (v - b[0])) : 0)),
      },
      hoverinfo: "none",
    };
  };
  react("tested", [
    column("validation error", { shift: -0.12, colour: "series1", symbol: "circle" },
      (entry) => points.values.error?.[entry.point] ?? null, (entry) => entry.intervals.error),
    column("test error", { shift: 0.12, colour: "series2", symbol: "square" },
      (entry) => entry.test_error, (entry) => entry.test_error_interval),
  ], layout({
    xaxis: axisStyle("architecture of the front (rank)", {
      range: [Math.min(...ranks) - 0.6, Math.max(...ranks) + 0.6], dtick: ranks.length < (narrow() ? 10 : 40) ? 1 : undefined, tickformat: "d",
    }),
    yaxis: axisStyle("error (%)", { rangemode: "tozero" }),
  }), config());
}

function drawTraining() {
  const rows = model.training;
  const curve = (name, values, n, axis) => ({
    type: "scatter", mode: rows.epoch.length > 1 ? "lines+markers" : "markers", name, x: rows.epoch, y: values, yaxis: axis, connectgaps: true,
    line: { color: series(4)[n], width: 2, dash: ["solid", "dot", "dash", "solid"][n] },
    marker: { symbol: SYMBOLS[n], size: 6, color: series(4)[n] },
    customdata: rows.seconds.map((seconds) => (seconds === null ? "" : `, ${short(seconds / 60)} min`)),
    hovertemplate: `${name}: %{y:.4g} at epoch %{x}%{customdata}<extra></extra>`,
  });
  const known = (values) => values.some((value) => value !== null);
  const traces = ["largest", "middle", "smallest"].map((name, n) => [name, n])
    .filter(([name]) => known(rows[name]))
    .map(([name, n]) => curve(`${name} subnet`, rows[name].map((v) => (v === null ? null : 100 * v)), n, "y"));
  traces.push(curve("training loss", rows.loss, 3, "y2"));
  react("training", traces, layout({
    xaxis: axisStyle("epoch", { anchor: "y2" }),
    yaxis: axisStyle("validation error (%)", { domain: [0.45, 1], rangemode: "tozero" }),
    yaxis2: axisStyle("loss (nats)", { domain: [0, 0.37] }),
    showlegend: true,
  }), config());
}

function drawPredictor() {
  const { groups, interval } = model.predictor;
  const all = Object.values(groups).flat();
  const low = Math.min(...all.flat()) / 1.3;
  const high = Math.max(...all.flat()) * 1.3;
  const log = low > 0;
  const ends = log ? [low, high] : [0, high];
  const band = interval ?? [0.9, 1.1];
  const line = (name, factor, look, more) => ({
    type: "scatter", mode: "lines", name, x: ends, y: ends.map((v) => v * factor), hoverinfo: "skip", line: look, ...more,
  });
  const traces = [
    line("lower end", 1 / band[1], { width: 0 }, { showlegend: false }),
    line(interval ? "90 % interval" : "within 10 %", 1 / band[0], { width: 0 }, { fill: "tonexty", fillcolor: colour("front", 0.18) }),
    line("equal", 1, { color: colour("quiet"), width: 1, dash: "dash" }, {}),
    ...Object.entries(groups).map(([name, rows], n) => ({
      type: "scatter", mode: "markers", name: plain(name), x: rows.map(([m]) => m), y: rows.map(([, p]) => p),
      marker: { color: series(n + 1)[n], symbol: SYMBOLS[Math.floor(n / 7) % 7 ? (n + 1) % 7 : n % 7], size: 7, opacity: 0.8 },
      hovertemplate: "measured %{x:.4g} ms, predicted %{y:.4g} ms<extra></extra>",
    })),
  ];
  const axis = (title) => axisStyle(title, log
    ? { type: "log", range: ends.map(Math.log10), ...logTicks(low, high) } : { range: ends });
  react("predictor", traces, layout({ xaxis: axis("measured (ms)"), yaxis: axis("predicted (ms)") }), config());
}

function drawFidelity() {
  const groups = Object.entries(model.fidelity);
  const all = groups.flatMap(([, rows]) => rows.flatMap(([own, inherited]) => [100 * own, 100 * inherited]));
  const room = 0.05 * (Math.max(...all) - Math.min(...all)) || 1;
  const ends = [Math.max(0, Math.min(...all) - room), Math.max(...all) + room];
  const traces = [
    { type: "scatter", mode: "lines", name: "equal", x: ends, y: ends, hoverinfo: "skip", line: { color: colour("quiet"), width: 1, dash: "dash" } },
    ...groups.map(([name, rows], n) => ({
      type: "scatter", mode: "markers", name, x: rows.map(([own]) => 100 * own), y: rows.map(([, inherited]) => 100 * inherited),
      marker: { color: series(n + 1)[n], symbol: SYMBOLS[n], size: 9, opacity: 0.85 },
      hovertext: rows.map(([, , words]) => plain(words).replace(/\n/g, "<br>")),
      hovertemplate: "%{y:.2f} %, alone %{x:.2f} %<br>%{hovertext}<extra></extra>",
    })),
  ];
  react("fidelity", traces, layout({
    xaxis: axisStyle("error after training alone (%)", { range: ends }),
    yaxis: axisStyle("error with inherited weights (%)", { range: ends }),
    showlegend: true,
  }), config());
}

function drawStages() {
  const rows = [...model.stages].reverse();
  const target = byId("stages");
  target.style.height = `${90 + 34 * rows.length}px`;
  const longest = Math.max(...rows.map(([, seconds]) => seconds));
  const [unit, scale] = longest > 300 ? ["minutes", 1 / 60] : ["seconds", 1];
  react(target, [{
    type: "bar", orientation: "h", x: rows.map(([, seconds]) => seconds * scale), y: rows.map(([name]) => plain(name)),
    marker: { color: colour("bar") }, hovertemplate: `%{y}: %{x:.3g} ${unit}<extra></extra>`,
  }], layout({
    margin: { l: 20, r: 16, t: 10, b: 44 },
    xaxis: axisStyle(`time (${unit})`, { rangemode: "tozero" }),
    yaxis: axisStyle("", {}),
  }), config(false));
}

/* How well what is guessed of the whole space was guessed where it is known. */
function drawGuesses() {
  const guesses = Object.entries(model.explored?.guesses ?? {});
  byId("guesses").replaceChildren(guesses.length
    ? tableOf(["Guessed from the choices", "Fitted on", "Rank correlation (Spearman)", "Median relative error"],
      guesses.map(([figure, one]) => [model.figures[figure]?.label ?? figure, `${one.count} evaluations`, three(one.spearman), percent(one.median_error)]),
      [2, 3], "Accuracy of guesses")
    : el("p", { class: "absent" }, "Nothing is guessed: every figure of the sampled space is counted or predicted, or too few evaluations are known."));
}

const TRUST = { tested: drawTested, training: drawTraining, predictor: drawPredictor, fidelity: drawFidelity };
const RUN = { hypervolume: drawHypervolume, stages: drawStages };

function setUpTrust() {
  for (const [room, parts] of [["trust", TRUST], ["run", RUN]]) {
    for (const [name, draw] of Object.entries(parts)) {
      view(name, room, () => {
        const target = byId(name);
        if (!target) return;
        const fresh = !target.layout;
        draw();
        if (fresh && name === "tested") pickable(target);
      });
    }
  }
  view("guesses", "trust", drawGuesses);
}

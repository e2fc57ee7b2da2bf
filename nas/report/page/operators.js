/* Columns of an operator's row. */
const [NAME, WHAT, SHAPE, MACS, PARAMS, LIVE, MOVED, MS, MJ] = [0, 1, 2, 3, 4, 5, 6, 7, 8];
const COSTS = {
  latency: { column: MS, label: "latency", unit: "µs", scale: 1000, constant: "constant_ms" },
  energy: { column: MJ, label: "energy", unit: "µJ", scale: 1000, constant: "constant_mj" },
  memory: { column: LIVE, label: "memory alive", unit: "KiB", scale: 1 / 1024, level: true },
  macs: { column: MACS, label: "multiply-accumulates", unit: "million MACs", scale: 1e-6 },
  params: { column: PARAMS, label: "parameters", unit: "thousand", scale: 1e-3 },
};

const knownCosts = (detail) => Object.keys(COSTS).filter((name) => detail.operators.some((row) => row[COSTS[name].column] !== null));

/* One bar per operator or per block: its name, what it is, and its cost; memory is a level, the others add up. */
function waterfallRows(detail, cost, perBlock) {
  const { column, scale, level } = COSTS[cost];
  const value = (rows) => rows.reduce((sum, row) => (level ? Math.max(sum, row[column]) : sum + (row[column] || 0)), 0) * scale;
  const rows = perBlock
    ? detail.blocks.map((block) => [blockName(block), [block.kind, ...block.words].join(", "), value(detail.operators.slice(block.rows[0], block.rows[1] + 1))])
    : detail.operators.map((row) => [row[NAME], row[WHAT], value([row])]).filter(([, , size]) => size > 0);
  const constant = detail[COSTS[cost].constant];
  if (constant) rows.push(["whole network", "what it takes beside its operators", constant * scale]);
  return rows;
}

const blockName = (block) => (block.stage ? `${block.stage}.${block.name}` : block.name);

function drawWaterfall(detail) {
  const cost = byId("arch-cost").value;
  const { label, unit, level } = COSTS[cost];
  const rows = waterfallRows(detail, cost, byId("arch-level").value === "blocks");
  const target = byId("arch-waterfall");
  target.style.height = `${90 + 20 * rows.length}px`;
  let sum = 0;
  const starts = rows.map(([, , size]) => {
    const start = level ? 0 : sum;
    sum += size;
    return start;
  });
  const total = level ? Math.max(...rows.map(([, , size]) => size)) : sum;
  const crop = (text) => (text.length > (narrow() ? 16 : 34) ? `…${text.slice(narrow() ? -15 : -33)}` : text);
  byId("arch-total").textContent = level
    ? `At its peak ${three(total)} ${unit} of activations are alive at once.`
    : `In sum ${three(total)} ${unit}; each bar begins where the one above ends.`;
  react(target, [{
    type: "bar", orientation: "h", base: starts, x: rows.map(([, , size]) => size), y: rows.map((_, n) => n),
    marker: { color: rows.map(([, , size]) => (level && size === total ? colour("limit") : colour("bar"))) },
    customdata: rows.map(([name, what, size]) => `${plain(name)}<br>${plain(what)}<br>${three(size)} ${unit}${level ? "" : `, ${percent(size / total)}`}`),
    hovertemplate: "%{customdata}<extra></extra>", showlegend: false,
  }], layout({
    margin: { l: 20, r: 16, t: 8, b: 46 },
    bargap: 0.25,
    xaxis: axisStyle(`${label} (${unit})`, { rangemode: "tozero", fixedrange: true }),
    yaxis: axisStyle("", {
      autorange: "reversed", tickvals: rows.map((_, n) => n), ticktext: rows.map(([name]) => plain(crop(name))), fixedrange: true, tickfont: { size: 11 },
    }),
  }), config(false));
}

function operatorTable(detail) {
  const order = Number(byId("arch-order").value);
  const small = isOn("arch-small");
  const [timed, metered] = [MS, MJ].map((column) => detail.operators.some((row) => row[column] !== null));
  const heavy = timed ? MS : MACS;
  const total = detail.operators.reduce((sum, row) => sum + (row[heavy] || 0), 0) || 1;
  let rows = detail.operators.filter((row) => small || row[MACS] > 0 || row[MS] > 0);
  if (order) rows = [...rows].sort((a, b) => (b[order] || 0) - (a[order] || 0));
  const head = ["Operator", "What it does", "Output", "Multiply-accumulates", "Parameters", "Live memory (KiB)",
    ...(timed ? ["Latency (µs)"] : []), ...(metered ? ["Energy (µJ)"] : []), `Share of ${timed ? "latency" : "multiply-accumulates"}`];
  const body = rows.map((row) => {
    const share = (row[heavy] || 0) / total;
    const bar = el("div", { class: "share", style: `--share:${(100 * share).toFixed(1)}%` }, el("i"), el("span", {}, percent(share)));
    const thousandth = (value) => (value === null ? "–" : three(1000 * value));
    return [row[NAME], row[WHAT], row[SHAPE].join(" × "), short(row[MACS]), short(row[PARAMS]), three(row[LIVE] / 1024),
      ...(timed ? [thousandth(row[MS])] : []), ...(metered ? [thousandth(row[MJ])] : []), bar];
  });
  return tableOf(head, body, [3, 4, 5, 6, 7].slice(0, 3 + timed + metered), "Operators of the architecture");
}

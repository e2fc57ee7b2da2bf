/* Each operator that multiplies as a bar: as wide as its multiply-adds, as high as it has of them per element moved.
   Bars below the waterline wait for memory (Lavin 2023). */
function layersOf(detail) {
  return detail.operators.filter((row) => row[MACS] > 0 && row[MOVED] > 0)
    .map((row) => ({ name: row[NAME], what: row[WHAT], macs: row[MACS], moved: row[MOVED], intensity: row[MACS] / row[MOVED] }));
}

function attainable(layers, waterline) {
  const work = layers.reduce((sum, { macs }) => sum + macs, 0);
  return work / layers.reduce((sum, { macs, moved }) => sum + Math.max(macs, waterline * moved), 0);
}

function drawWaterline(detail) {
  const layers = layersOf(detail);
  const target = byId("arch-waterline");
  target.hidden = !layers.length;
  if (!layers.length) return;
  const line = Number(byId("arch-line").value) || 25;
  const centres = [];
  let sum = 0;
  for (const { macs } of layers) {
    centres.push((sum + macs / 2) / 1e6);
    sum += macs;
  }
  const low = Math.min(line, ...layers.map(({ intensity }) => intensity)) / 2;
  const high = 1.5 * Math.max(line, ...layers.map(({ intensity }) => intensity));
  const bars = (name, fill, under) => ({
    type: "bar", name, x: centres, width: layers.map(({ macs }) => macs / 1e6),
    y: layers.map(({ intensity }) => (under === intensity < line ? intensity : null)),
    marker: { color: fill, line: { color: colour("paper"), width: 0.5 } },
    customdata: layers.map((one) => `${plain(one.name)}<br>${plain(one.what)}<br>${three(one.macs / 1e6)} million MACs, ${three(one.intensity)} per element`),
    hovertemplate: "%{customdata}<extra></extra>",
  });
  react(target, [
    bars("limited by arithmetic", colour("bar"), false),
    bars("under water: waits for memory", colour("random"), true),
    { type: "scatter", mode: "lines", name: "waterline", x: [0, sum / 1e6], y: [line, line], hoverinfo: "skip", line: { color: colour("limit"), width: 2, dash: "dash" } },
  ], layout({
    barmode: "overlay",
    legend: legend(1),
    xaxis: axisStyle(brief("multiply-accumulates, layer after layer (million MACs)", "layer after layer (million MACs)"), { rangemode: "tozero", fixedrange: true }),
    yaxis: axisStyle(brief("operational intensity (MACs per element moved)", "intensity (MACs per element)"), {
      type: "log", fixedrange: true, range: [low, high].map(Math.log10), ...logTicks(low, high),
    }),
  }), config(false));
  byId("arch-reach").textContent = `At a waterline of ${three(line)} MACs per element these layers can reach at most `
    + `${percent(attainable(layers, line))} of the peak, executed one after the other.`;
}

function efficiencyTable(detail) {
  const found = detail.efficiency;
  if (!found) return el("p", { class: "absent" }, "Nothing in this network multiplies.");
  const rows = [
    ["multiply-accumulates", `${three(found.macs / 1e6)} million`],
    ["elements moved (inputs, weights and outputs once)", `${three(found.moved / 1e6)} million`],
    ["MACs per element moved", three(found.intensity)],
    ...found.at.map(([line, share]) => [`most of the peak at a waterline of ${line}`, percent(share, 2)]),
    ["MACs in layers under 50 per element", percent(found.below)],
  ];
  if (found.device !== null) rows.push([`most of the peak on this device (waterline ${three(model.device.waterline)})`, percent(found.device, 2)]);
  if (found.ideal_ms !== null) rows.push(["time at the peak of this device", `${three(1000 * found.ideal_ms)} µs`]);
  if (found.gap !== null) rows.push(["efficiency gap: predicted latency over time at peak", `${three(found.gap)} times`]);
  return tableOf(["Efficiency", "Value"], rows, [1], "Efficiency of the architecture");
}

function drawEfficiency(detail) {
  byId("arch-efficiency").replaceChildren(efficiencyTable(detail));
  const device = model.device;
  byId("arch-device").textContent = device
    ? `This device: ${device.words}. ${device.peak_gmacs === null ? "" : `Peak ${three(device.peak_gmacs)} billion MACs and `
      + `${three(device.bandwidth_gbs)} billion bytes a second, ${device.source}; its waterline is ${three(device.waterline)} MACs per element.`}`
    : "No device is part of this run: the waterline is yours to set.";
  drawWaterline(detail);
}

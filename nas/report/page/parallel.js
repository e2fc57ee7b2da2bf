/* Parallel coordinates on a canvas: one line per architecture; a range dragged on an axis filters every view. */
const PAD = { top: 34, bottom: 84, side: 92 };
const JITTER = 0.03;

function axisOfFigure(figure) {
  const { label, unit, scale } = model.figures[figure];
  const values = points.values[figure];
  const known = values.filter((value) => value !== null);
  const sampled = model.explored?.figures[figure];
  const low = known.reduce((a, b) => Math.min(a, b), sampled ? sampled.low : Infinity);
  const high = known.reduce((a, b) => Math.max(a, b), sampled ? sampled.high : -Infinity);
  const log = low > 0 && high > 20 * low;
  const into = log ? Math.log : (value) => value;
  const wide = into(high) - into(low);
  return {
    label, unit: log ? `${unit}, logarithmic` : unit, low: three(low * scale), high: three(high * scale), empty: !known.length,
    share: (i) => (values[i] === null ? null : (wide > 0 ? (into(values[i]) - into(low)) / wide : 0.5)),
    scored: () => (sampled ? scoredShares(figure, low, high, log) : [null, 1]),
    text: (share) => three((log ? Math.exp(into(low) + share * wide) : low + share * wide) * scale),
  };
}

/* The sample's places of a figure brought onto the scale of the axis. */
function scoredShares(figure, low, high, log) {
  const found = model.explored.figures[figure];
  const into = log ? Math.log : (value) => value;
  const table = new Uint16Array(65536);
  for (let place = 0; place < 65535; place += 1) {
    const at = place / 65534;
    const value = found.log ? Math.exp(Math.log(found.low) + at * Math.log(found.high / found.low)) : found.low + at * (found.high - found.low);
    table[place] = Math.min(65534, Math.max(0, Math.round((65534 * (into(value) - into(low))) / (into(high) - into(low) || 1))));
  }
  table[65535] = 65535;
  return [scoredPlaces(figure).map((place) => table[place]), 65534];
}

function axisOfChoice(axis, n) {
  const tick = (share) => {
    const value = axis.low + share * (axis.high - axis.low);
    return axis.ticks.find(([position]) => Math.abs(position - value) < 0.5)?.[1] ?? short(Number(value.toPrecision(3)));
  };
  return {
    label: axis.label.replace(/[._]/g, " "), unit: axis.unit, jitter: JITTER, low: tick(0), high: tick(1), text: tick,
    share: (i) => (i >= axis.values.length || axis.values[i] === 255 ? null : (axis.high > axis.low ? axis.values[i] / 254 : 0.5)),
    scored: () => [model.explored.shares[n] || null, 254],
  };
}

let axesFor = [null, []];

function parallelAxes() {
  if (axesFor[0] !== model) {
    const figures = model.menu.filter((figure) => model.objectives.includes(figure) || figure in model.limits);
    axesFor = [model, [...model.axes.map(axisOfChoice), ...figures.map(axisOfFigure)].filter((axis) => !axis.empty)];
  }
  return axesFor[1];
}

function geometry() {
  const holder = byId("parallel");
  const axes = parallelAxes();
  const width = Math.max(holder.parentElement.clientWidth, 2 * PAD.side + 80 * (axes.length - 1));
  const height = 420;
  const step = axes.length > 1 ? (width - 2 * PAD.side) / (axes.length - 1) : 0;
  return { axes, width, height, at: (a) => PAD.side + a * step, level: (share) => height - PAD.bottom - share * (height - PAD.top - PAD.bottom) };
}

/* Where many lines meet at one option they are spread a little, the same way each time. */
const shaken = (axis, i, share) => (axis.jitter ? (1 - 2 * axis.jitter) * share + 2 * axis.jitter * ((0.618034 * i) % 1) : share);

function strokeLines(context, members, { axes, at, level }, style) {
  if (!members.length) return;
  Object.assign(context, style);
  for (const i of members) {
    let pen = false;
    context.beginPath();
    for (let a = 0; a < axes.length; a += 1) {
      const share = axes[a].share(i);
      if (share === null) { pen = false; continue; }
      const y = level(shaken(axes[a], i, share));
      if (pen) context.lineTo(at(a), y);
      else context.moveTo(at(a), y);
      pen = true;
    }
    context.stroke();
  }
  context.globalAlpha = 1;
}

function drawLines(place) {
  const canvas = byId("parallel-lines");
  const ratio = window.devicePixelRatio || 1;
  [canvas.width, canvas.height] = [place.width * ratio, place.height * ratio];
  Object.assign(canvas.style, { width: `${place.width}px`, height: `${place.height}px` });
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  const all = points.id.map((_, i) => i).filter((i) => kept[i]);
  const faint = Math.max(0.03, Math.min(0.5, 60 / all.length));
  const of = (test) => all.filter(test);
  strokeLines(context, of((i) => points.front[i] < 0 && points.baseline[i]), place, { strokeStyle: colour("random"), lineWidth: 1, globalAlpha: faint });
  strokeLines(context, of((i) => points.front[i] < 0 && !points.baseline[i]), place, { strokeStyle: colour("point"), lineWidth: 1, globalAlpha: faint });
  strokeLines(context, of((i) => points.front[i] >= 0), place, { strokeStyle: colour("front"), lineWidth: 1.8, globalAlpha: 0.85 });
}

function drawParallel() {
  const place = geometry();
  drawLines(place);
  const root = byId("parallel");
  root.setAttribute("width", place.width);
  root.setAttribute("height", place.height);
  const parts = place.axes.flatMap((axis, a) => {
    const x = place.at(a);
    const text = (y, words, more) => svg("text", { x, y, "text-anchor": "middle", ...more }, words);
    const bottom = place.height - PAD.bottom;
    const name = svg("text", { "text-anchor": "end", transform: `translate(${x + 6} ${bottom + 32}) rotate(-28)` });
    name.append(axis.label, svg("tspan", { class: "soft", x: 0, dy: 13 }, axis.unit ? `(${axis.unit})` : ""));
    return [svg("line", { class: "axis", x1: x, x2: x, y1: PAD.top, y2: bottom }),
      text(PAD.top - 10, axis.high, { class: "soft" }), text(bottom + 16, axis.low, { class: "soft" }), name, brushOf(axis, x, place)];
  });
  root.replaceChildren(...parts.filter(Boolean));
  moveLine();
}

/* The chosen architecture's line lies above the canvas: moving it does not draw the other lines again. */
function moveLine() {
  const root = byId("parallel");
  root.querySelector(".chosen")?.remove();
  if (state.chosen === null || !root.children.length) return;
  const { axes, at, level } = geometry();
  const line = axes.map((axis, a) => [at(a), axis.share(state.chosen), axis]).filter(([, share]) => share !== null);
  const places = line.map(([x, share, axis]) => `${x},${level(shaken(axis, state.chosen, share))}`);
  root.prepend(svg("polyline", { class: "chosen", points: places.join(" ") }));
}

function brushOf(axis, x, { level }) {
  const range = state.brushes.get(axis.label);
  if (!range) return null;
  return svg("rect", { class: "brush", x: x - 9, width: 18, y: level(range[1]), height: Math.max(3, level(range[0]) - level(range[1])) });
}

function setBrush(axis, range) {
  if (range) state.brushes.set(axis.label, range);
  else state.brushes.delete(axis.label);
  refilter();
  drawRanges();
}

/* The same ranges as number fields, for the keyboard. */
function drawRanges() {
  byId("parallel-ranges").replaceChildren(...parallelAxes().map((axis) => {
    const range = state.brushes.get(axis.label) || [0, 1];
    const slider = (end) => {
      const words = `${axis.label}: ${end ? "highest" : "lowest"}`;
      const input = el("input", { type: "range", min: 0, max: 100, value: Math.round(100 * range[end]), "aria-label": words, "aria-valuetext": axis.text(range[end]) });
      input.addEventListener("change", () => {
        const now = [...(state.brushes.get(axis.label) || [0, 1])];
        now[end] = Number(input.value) / 100;
        now.sort((a, b) => a - b);
        setBrush(axis, now[0] <= 0 && now[1] >= 1 ? null : now);
      });
      return input;
    };
    return el("div", { class: "range" }, el("span", {}, axis.label), slider(0), slider(1));
  }));
}

function listenToParallel(root) {
  let drag = null;
  const share = (event, place) => {
    const top = root.getBoundingClientRect().top;
    return Math.min(1, Math.max(0, (place.height - PAD.bottom - (event.clientY - top)) / (place.height - PAD.top - PAD.bottom)));
  };
  root.addEventListener("pointerdown", (event) => {
    const place = geometry();
    const x = event.clientX - root.getBoundingClientRect().left;
    const a = place.axes.findIndex((_, n) => Math.abs(place.at(n) - x) < 22);
    if (a < 0) return;
    drag = { axis: place.axes[a], from: share(event, place), place };
    root.setPointerCapture(event.pointerId);
  });
  root.addEventListener("pointerup", (event) => {
    if (!drag) return;
    const ends = [drag.from, share(event, drag.place)].sort((a, b) => a - b);
    const slack = 2 * (drag.axis.jitter || 0);
    setBrush(drag.axis, ends[1] - ends[0] < 0.015 ? null : [Math.max(0, ends[0] - slack), Math.min(1, ends[1] + slack)]);
    drag = null;
  });
}

let parallelReady = false;

function setUpParallel() {
  if (!hasData("points") || !hasData("choices")) return;
  drawRanges();
  if (parallelReady) return;
  parallelReady = true;
  listenToParallel(byId("parallel"));
  view("parallel", "front", drawParallel, true);
}

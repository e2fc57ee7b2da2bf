/* The run as it was last told, and what the person looking at it has chosen. */
let model = null;
let points = null;
let told = { parts: {} };
const state = { chosen: null, other: null, brushes: new Map(), limits: new Map(), view: "front" };
const hooks = { exported: null, detail: null };
const views = [];
let kept = new Uint8Array(0);
let keptScored = new Uint8Array(0);
const details = new Map();

const ORDER = "#";
const shown = (figure, value) => (value === null || value === undefined ? null : value * model.figures[figure].scale);
const figureNumber = (figure, value) => (
  model.figures[figure].unit === "%" ? fixed(shown(figure, value), 2) : three(shown(figure, value))
);
const figureText = (figure, value) => (
  value === null || value === undefined ? "–" : `${figureNumber(figure, value)} ${model.figures[figure].unit}`
);
const frontEntry = (i) => (points.front[i] < 0 ? null : model.front[points.front[i]]);
const provenance = (i, figure) => points.provenances[points.provenance[i]]?.[figure] || "";
const proposer = (i) => points.proposers[points.proposer[i]];
const isMark = (i) => i >= points.evaluated;
const wordsOf = (i) => points.words[i].map((line) => points.lines[line]);
const pickOf = (i, n) => {
  const option = points.picks[i * points.choices.length + n];
  return option === 65535 ? -1 : option;
};

/* Networks from elsewhere join the points, behind the evaluated ones. */
function readModel(found) {
  model = found;
  points = found.points;
  points.picks = unpack(points.picks);
  points.evaluated = points.id.length;
  for (const axis of model.axes) axis.values = unpack(axis.values);
  for (const mark of model.marks) {
    points.id.push(mark.name);
    points.number.push(-1);
    points.proposer.push(-1);
    points.seconds.push(null);
    points.feasible.push(1);
    points.baseline.push(0);
    points.front.push(-1);
    points.words.push([]);
    points.provenance.push(points.provenances.push(mark.provenance) - 1);
    for (const figure of model.menu) points.values[figure].push(mark.values[figure] ?? null);
  }
  model.figures[ORDER] = { label: "evaluation", unit: "in order", title: "evaluation (number, in order)", scale: 1 };
  points.values[ORDER] = points.number;
  details.clear();
  readScored(model.explored);
}

/* The sampled space: its figures stay packed until they are asked for. */
function readScored(explored) {
  if (!explored) return;
  explored.places = new Map();
  explored.shares = explored.axes.map(unpack);
  if (explored.tables) explored.tables.values = unpack(explored.tables.data);
}

/* Places 0 to 65534 of a sampled figure on its own scale, 65535 where it is unknown. */
function scoredPlaces(figure) {
  const { places, figures } = model.explored;
  if (!places.has(figure)) places.set(figure, unpack(figures[figure].data));
  return places.get(figure);
}

/* A figure's value as a place on the scale of the sample; may lie outside. */
function placeOnScale(figure, value) {
  const { low, high, log } = model.explored.figures[figure];
  const [at, from, to] = log ? [Math.log(value), Math.log(low), Math.log(high)] : [value, low, high];
  return to > from ? ((at - from) / (to - from)) * 65534 : (at <= from ? 0 : 65534.5);
}

function detailOf(i) {
  const id = points.id[i];
  if (!details.has(id)) details.set(id, isMark(i) ? model.marks[i - points.evaluated].detail : expanded(id));
  return details.get(id);
}

function expanded(id) {
  const pool = model.architectures;
  const found = pool.of[id];
  if (!found) return null;
  const all = (kind) => Array.from(unpack(found[kind]), (place) => pool[kind][place]);
  return { ...found, operators: all("operators"), blocks: all("blocks"), edges: all("edges") };
}

/* Which points and which of the sample pass the brushes and keep the limits set on this page; those of the recipe
   rule nothing out of sight, what breaks them is drawn as such. */
function applyFilter() {
  const brushes = parallelAxes().map((axis) => ({ axis, range: state.brushes.get(axis.label) })).filter(({ range }) => range);
  const bounds = [...state.limits].filter(([figure, limit]) => points.values[figure] && limit !== (model.limits[figure] ?? null));
  kept = new Uint8Array(points.id.length).fill(1);
  for (const { axis, range: [low, high] } of brushes) {
    for (let i = 0; i < kept.length; i += 1) {
      const share = axis.share(i);
      if (share === null || share < low || share > high) kept[i] = 0;
    }
  }
  for (const [figure, limit] of bounds) {
    const values = points.values[figure];
    for (let i = 0; i < kept.length; i += 1) if (values[i] !== null && values[i] > limit) kept[i] = 0;
  }
  if (model.explored) filterScored(brushes, bounds);
}

function filterScored(brushes, bounds) {
  const { count, figures } = model.explored;
  keptScored = new Uint8Array(count).fill(1);
  for (const { axis, range: [low, high] } of brushes) {
    const [places, steps] = axis.scored();
    if (!places) continue;
    const [from, to] = [low * steps, high * steps];
    for (let i = 0; i < count; i += 1) if (places[i] < from || places[i] > to) keptScored[i] = 0;
  }
  for (const [figure, limit] of bounds) {
    if (!figures[figure]) continue;
    const places = scoredPlaces(figure);
    const most = placeOnScale(figure, limit);
    for (let i = 0; i < count; i += 1) if (places[i] > most) keptScored[i] = 0;
  }
}

function refilter() {
  applyFilter();
  tellFilter();
  redraw("front", "parallel", "limits");
}

function tellFilter() {
  const count = kept.reduce((sum, one) => sum + one, 0);
  const front = model.front.filter(({ point }) => kept[point]).length;
  const share = model.explored && (state.brushes.size || limitsChanged())
    ? `; ${percent(keptScored.reduce((sum, one) => sum + one, 0) / model.explored.count)} of the sampled space` : "";
  const filtered = count < kept.length;
  byId("filter-note").textContent = `${filtered ? `${count} of ${kept.length}` : `All ${kept.length}`} architectures pass, `
    + `${front} of them on the front${share}.`;
  byId("filter-clear").disabled = !state.brushes.size && !limitsChanged();
}

/* A view is drawn when it is in sight, else once it comes in sight; its failure is told, not fatal. */
function view(name, room, draw, later = false) {
  views.push({ name, room, draw, later, stale: true });
}

/* What may wait is drawn after the next picture, so that the rest is there sooner. */
function drawStale() {
  const due = views.filter((one) => one.stale && one.room === state.view);
  due.filter((one) => !one.later).forEach(drawOne);
  if (due.some((one) => one.later)) {
    requestAnimationFrame(() => setTimeout(() => {
      due.filter((one) => one.later && one.stale && one.room === state.view).forEach(drawOne);
    }, 0));
  }
}

function drawOne(one) {
  one.stale = false;
  try {
    one.draw();
  } catch (error) {
    trouble(`The part “${one.name}” could not be drawn: ${error.message}`);
    console.error(error);
  }
}

function redraw(...names) {
  for (const one of views) if (!names.length || names.includes(one.name)) one.stale = true;
  drawStale();
}

/* Chooses an architecture by its position among the points; every view follows. */
function select(i) {
  if (i === undefined || i === null) return;
  state.chosen = i;
  redraw("chosen", "architecture", "pair");
  moveFrame();
  moveLine();
  markRows();
}

function selectOther(i) {
  state.other = i;
  redraw("chosen", "pair");
  moveFrame();
}

function markRows() {
  const id = state.chosen === null ? null : points.id[state.chosen];
  for (const button of document.querySelectorAll("button.pick")) {
    button.closest("tr").classList.toggle("chosen", button.dataset.arch === id);
  }
}

/* Shows a new payload of the same run: what was chosen stays chosen. */
function update(payload) {
  const ids = points ? [state.chosen, state.other].map((i) => (i === null ? null : points.id[i])) : [null, null];
  for (const [name, html] of Object.entries(payload.parts)) {
    if (!points || told.parts[name] === html) continue;
    const parsed = new DOMParser().parseFromString(html, "text/html");
    document.querySelector(`[data-part="${name}"]`)?.replaceChildren(...parsed.body.childNodes);
  }
  told = payload;
  readModel(payload.model);
  [state.chosen, state.other] = ids.map((id) => {
    const found = id === null ? -1 : points.id.indexOf(id);
    return found < 0 ? null : found;
  });
  if (state.chosen === null && points.id.length) state.chosen = model.front.length ? model.front[0].point : 0;
  for (const frame of document.querySelectorAll("[data-needs]")) frame.hidden = !hasData(frame.dataset.needs);
  for (const setUp of [setUpFront, setUpLimits, setUpParallel, setUpArchitecture, setUpPair, setUpSpace]) setUp();
  for (const button of document.querySelectorAll("button.pick")) button.onclick = () => openRow(button.dataset.arch);
  applyFilter();
  tellFilter();
  redraw();
  markRows();
}

function hasData(what) {
  if (what === "points") return points.id.length > 0 && model.menu.length > 0;
  if (what === "two") return points.id.length > 1;
  if (what === "kernels") return model.kernels.length > 0;
  if (what === "choices") return model.axes.length > 0;
  return model[what] !== null;
}

function openRow(id) {
  select(points.id.indexOf(id));
  show("one");
}

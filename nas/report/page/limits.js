/* Limits as the person sets them on this page; those of the recipe to begin with. */
const limitFigures = () => [...new Set([...model.objectives, ...Object.keys(model.limits)])].filter((f) => model.menu.includes(f));

function limitsChanged() {
  return limitFigures().some((figure) => (state.limits.get(figure) ?? null) !== (model.limits[figure] ?? null));
}

function resetLimits() {
  state.limits.clear();
  for (const figure of limitFigures()) {
    if (model.limits[figure] !== undefined && model.limits[figure] !== null) state.limits.set(figure, model.limits[figure]);
  }
}

function limitInput(figure) {
  const { label, unit, scale } = model.figures[figure];
  const values = points.values[figure].filter((value) => value !== null).map((value) => value * scale);
  const most = values.reduce((a, b) => Math.max(a, b), 0);
  const now = state.limits.get(figure);
  const box = el("input", { type: "number", min: 0, step: "any", id: `limit-${figure}`, placeholder: `to ${three(most)}` });
  if (now !== undefined && now !== null) box.value = Number((now * scale).toPrecision(4));
  box.addEventListener("change", () => {
    if (box.value === "") state.limits.delete(figure);
    else state.limits.set(figure, Number(box.value) / scale);
    refilter();
  });
  return el("label", {}, `${label} at most`, box, unit);
}

function drawLimits() {
  for (const figure of limitFigures()) {
    const box = byId(`limit-${figure}`);
    if (!box || box === document.activeElement) continue;
    const limit = state.limits.get(figure);
    box.value = limit === undefined || limit === null ? "" : Number((limit * model.figures[figure].scale).toPrecision(4));
  }
}

let limitsOf = null;

function setUpLimits() {
  if (!hasData("points")) return;
  const recipe = JSON.stringify([limitFigures(), model.limits]);
  if (recipe === limitsOf) return;
  if (limitsOf === null) {
    view("limits", "front", drawLimits);
    byId("filter-clear").addEventListener("click", () => {
      state.brushes.clear();
      resetLimits();
      refilter();
      say("All brushes are gone and the limits are those of the recipe.");
    });
  }
  limitsOf = recipe;
  resetLimits();
  byId("limits").replaceChildren(el("legend", {}, "Limits"), ...limitFigures().map(limitInput));
}

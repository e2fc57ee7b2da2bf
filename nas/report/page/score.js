/* The space's tables in the page: what any architecture costs, without building it. */
function optionRow(i) {
  const count = points.choices.length;
  return Array.from({ length: count }, (_, n) => Math.max(0, pickOf(i, n)));
}

function variablesOf(row) {
  const { columns, values } = model.explored.tables;
  const variables = [...row];
  for (const table of columns) variables.push(values[entryOf(table, variables)]);
  return variables;
}

function entryOf([variables, sizes, start], row) {
  let entry = 0;
  for (let k = 0; k < variables.length; k += 1) entry = entry * sizes[k] + row[variables[k]];
  return start + entry;
}

const tabled = () => {
  const tables = model.explored?.tables;
  return tables ? [...Object.keys(tables.sums), ...Object.keys(tables.maxima)].filter((figure) => model.figures[figure]) : [];
};

/* The row with the choices that it does not make at their first option; `null` where the space does not allow it. */
function canonical(row) {
  const { offers, refusals, values } = model.explored.tables;
  const variables = variablesOf(row);
  const fixed = [...row];
  for (let n = 0; n < offers.length; n += 1) {
    const [number, allowed] = offers[n];
    const offered = values[entryOf(number, variables)];
    if (!offered) fixed[n] = 0;
    else if (!allowed[offered - 1][row[n]]) return null;
  }
  const settled = variablesOf(fixed);
  return refusals.some((table) => values[entryOf(table, settled)]) ? null : fixed;
}

/* Figure name to value of a row; `null` where it is not allowed, or where the tables never met such an architecture. */
function score(row) {
  const fixed = canonical(row);
  if (!fixed) return null;
  const { sums, maxima, values, logarithms } = model.explored.tables;
  const variables = variablesOf(fixed);
  const found = {};
  for (const [figure, tables] of Object.entries(sums)) {
    let total = 0;
    for (const table of tables) total += values[entryOf(table, variables)];
    found[figure] = logarithms.includes(figure) ? Math.exp(total) : total;
  }
  for (const [figure, tables] of Object.entries(maxima)) {
    let most = 0;
    for (const table of tables) {
      const value = values[entryOf(table, variables)];
      most = value > most || Number.isNaN(value) ? value : most;
    }
    found[figure] = most;
  }
  return Object.values(found).some(Number.isNaN) ? null : found;
}

/* Whether choice `c` decides alone whether choice `n` is made, in all architectures of this page. */
function decides(c, n) {
  const made = new Map();
  for (let i = 0; i < points.evaluated; i += 1) {
    const [option, active] = [pickOf(i, c), pickOf(i, n) >= 0];
    if (made.has(option) && made.get(option) !== active) return false;
    made.set(option, active);
  }
  return true;
}

/* Choices in which two architectures differ. One that only one of them makes goes with the choice that decides
   whether it is made, where one of the differing choices does. */
function differences(a, b) {
  const shared = [];
  const lone = [];
  points.choices.forEach((name, n) => {
    const [from, to] = [pickOf(a, n), pickOf(b, n)];
    if (from === to) return;
    (from >= 0 && to >= 0 ? shared : lone).push({ slots: [n], name, from, to, comes: to >= 0 });
  });
  const alone = [];
  for (const step of lone) {
    const owner = shared.find(({ slots }) => decides(slots[0], step.slots[0]));
    if (owner) Object.assign(owner, { slots: [...owner.slots, ...step.slots], comes: step.comes });
    else alone.push(step);
  }
  return [...shared, ...alone];
}

const optionText = (n, option) => (option < 0 ? "not there" : points.options[n][option]);

function stepWords({ slots, name, from, to, comes }) {
  const more = slots.length - 1;
  const consequence = more ? ` (with ${more} choice${more > 1 ? "s" : ""} of blocks that ${comes ? "come" : "go"})` : "";
  return `${name}: ${optionText(slots[0], from)} → ${optionText(slots[0], to)}${consequence}`;
}

/* From one architecture to another, one choice after the other. A state that no table knows is stepped over: its
   choice counts together with the next. */
function pathBetween(a, b) {
  const [row, goal] = [optionRow(a), optionRow(b)];
  const steps = [];
  let before = score(row);
  let pending = [];
  for (const step of differences(a, b)) {
    for (const n of step.slots) row[n] = goal[n];
    pending.push(step);
    const after = score(row);
    if (!after) continue;
    steps.push({ words: pending.map(stepWords).join("; "), before, after });
    [before, pending] = [after, []];
  }
  return { start: score(optionRow(a)), end: score(optionRow(b)), steps, whole: pending.length === 0 };
}

/* Every architecture one choice away, scored; those that no table knows are left out. */
function neighbours(i) {
  const row = optionRow(i);
  const start = score(row);
  const found = [];
  points.choices.forEach((name, n) => {
    const from = pickOf(i, n);
    if (from < 0) return;
    points.options[n].forEach((_, to) => {
      if (to === from) return;
      const other = [...row];
      other[n] = to;
      const after = score(other);
      if (after) found.push({ name, from, to, n, after });
    });
  });
  return { start, found };
}

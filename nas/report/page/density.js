/* The sampled space under the evaluated points: how many of it lie in each cell of a grid. */
const GRID = [96, 64];

const canShowDensity = (x, y) => Boolean(model.explored?.figures[x] && model.explored?.figures[y]);

/* Even steps over the sample's values of `figure`, on the axis's own scale: which holds each place, and their edges. */
function stepsOf(figure, log, count) {
  const { low, high, log: stored } = model.explored.figures[figure];
  const into = log && low > 0 ? Math.log : (value) => value;
  const [from, to] = [into(low), into(high)];
  const wide = to > from ? to - from : 1;
  const cell = new Uint16Array(65536);
  const [a, b] = stored ? [Math.log(low), Math.log(high)] : [low, high];
  for (let place = 0; place < 65535; place += 1) {
    const at = a + (b - a) * (place / 65534);
    const value = into(stored ? Math.exp(at) : at);
    cell[place] = Math.min(count - 1, Math.max(0, Math.floor((count * (value - from)) / wide)));
  }
  cell[65535] = 65535;
  const out = log && low > 0 ? Math.exp : (value) => value;
  return { cell, edges: [...Array(count + 1).keys()].map((n) => shown(figure, out(from + (wide * n) / count))) };
}

/* Counts [rows][columns], how many of the sample they hold, and the edges of the cells along both axes. */
function densityOf(x, y, logX, logY) {
  const [columns, rows] = narrow() ? [48, 40] : GRID;
  const [across, up] = [stepsOf(x, logX, columns), stepsOf(y, logY, rows)];
  const [xs, ys] = [scoredPlaces(x), scoredPlaces(y)];
  const counts = Array.from({ length: rows }, () => new Float32Array(columns));
  let total = 0;
  for (let i = 0; i < xs.length; i += 1) {
    if (!keptScored[i]) continue;
    const [c, r] = [across.cell[xs[i]], up.cell[ys[i]]];
    if (c === 65535 || r === 65535) continue;
    counts[r][c] += 1;
    total += 1;
  }
  return { counts, total, edges: [across.edges, up.edges] };
}

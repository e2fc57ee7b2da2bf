/* The many points and the density lie on a canvas behind the plot, so that thousands of them cost the page nothing
   while it is used; the plot itself holds the front, its lines and the axes. */
let scene = null;
let pixels = [];

/* Where the plot's axes put a point, in pixels of the plot; `null` where it is not known or out of sight. */
function pixelAt(plot, values, x, y) {
  const [xaxis, yaxis] = [plot._fullLayout.xaxis, plot._fullLayout.yaxis];
  const [across, up] = [shown(x, values[0]), shown(y, values[1])];
  if (across === null || up === null || (xaxis.type === "log" && across <= 0) || (yaxis.type === "log" && up <= 0)) return null;
  const [px, py] = [xaxis.d2p(across), yaxis.d2p(up)];
  if (px < 0 || py < 0 || px > xaxis._length || py > yaxis._length) return null;
  return [px + xaxis._offset, py + yaxis._offset];
}

const SHAPES = {
  within(pen, x, y) {
    pen.beginPath();
    pen.arc(x, y, 3.5, 0, 2 * Math.PI);
    pen.fill();
  },
  random(pen, x, y) {
    pen.beginPath();
    pen.moveTo(x, y - 4);
    pen.lineTo(x + 3.6, y + 2.4);
    pen.lineTo(x - 3.6, y + 2.4);
    pen.closePath();
    pen.stroke();
  },
  broken(pen, x, y) {
    pen.beginPath();
    pen.moveTo(x - 3, y - 3);
    pen.lineTo(x + 3, y + 3);
    pen.moveTo(x + 3, y - 3);
    pen.lineTo(x - 3, y + 3);
    pen.stroke();
  },
};

function paintDensity(pen, plot, { counts, edges }) {
  const [from, to] = ["density0", "density1"].map((name) => colour(name).match(/[\d.]+/g).slice(0, 3).map(Number));
  const { xaxis, yaxis } = plot._fullLayout;
  const across = edges[0].map((value) => Math.round(xaxis.d2p(value) + xaxis._offset));
  const up = edges[1].map((value) => Math.round(yaxis.d2p(value) + yaxis._offset));
  const most = Math.log(1 + counts.reduce((a, row) => row.reduce((b, count) => Math.max(b, count), a), 1));
  counts.forEach((row, r) => row.forEach((count, c) => {
    if (!count) return;
    const share = Math.log(1 + count) / most;
    pen.fillStyle = `rgb(${from.map((channel, k) => Math.round(channel + share * (to[k] - channel))).join(",")})`;
    pen.fillRect(across[c], up[r + 1], Math.max(1, across[c + 1] - across[c]), Math.max(1, up[r] - up[r + 1]));
  }));
}

/* Paints the scene anew wherever the axes are now, and notes where every point lies for the pointer. */
function paintCloud() {
  const [canvas, plot] = [byId("front-cloud"), byId("front-plot")];
  const ratio = window.devicePixelRatio || 1;
  [canvas.width, canvas.height] = [plot.clientWidth * ratio, plot.clientHeight * ratio];
  Object.assign(canvas.style, { width: `${plot.clientWidth}px`, height: `${plot.clientHeight}px` });
  pixels = [];
  if (!scene || inDepth() || !plot._fullLayout?.xaxis) return;
  const { xaxis, yaxis } = plot._fullLayout;
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  pen.beginPath();
  pen.rect(xaxis._offset, yaxis._offset, xaxis._length, yaxis._length);
  pen.clip();
  if (scene.density) paintDensity(pen, plot, scene.density);
  const at = (i) => pixelAt(plot, [points.values[scene.x][i], points.values[scene.y][i]], scene.x, scene.y);
  for (const [kind, members] of scene.clouds) {
    const style = look(kind);
    Object.assign(pen, { fillStyle: style.color, strokeStyle: style.color, lineWidth: 1.3 });
    for (const i of members) {
      const found = at(i);
      if (!found) continue;
      pen.globalAlpha = kept[i] ? style.opacity : 0.07;
      SHAPES[kind](pen, ...found);
      if (kept[i]) pixels.push([i, ...found, 8]);
    }
  }
  for (const i of scene.marked) {
    const found = at(i);
    if (found && kept[i]) pixels.push([i, ...found, 11]);
  }
  canvas.dataset.kept = String(scene.clouds.reduce((sum, [, members]) => sum + members.filter((i) => kept[i]).length, 0));
  canvas.dataset.sampled = String(scene.density?.total ?? 0);
}

/* The point under the pointer: the nearest within its own size, those of the front before others. */
function pointAt(event) {
  const frame = byId("front-plot").getBoundingClientRect();
  const [x, y] = [event.clientX - frame.x, event.clientY - frame.y];
  let best = null;
  let least = 1;
  for (let n = pixels.length - 1; n >= 0; n -= 1) {
    const [i, px, py, reach] = pixels[n];
    const share = Math.hypot(px - x, py - y) / reach;
    if (share < least) [best, least] = [i, share];
  }
  return best;
}

function listenToCloud() {
  let pressed = null;
  const room = byId("front-plot");
  room.addEventListener("mousemove", (event) => {
    const i = event.buttons || inDepth() ? null : pointAt(event);
    room.classList.toggle("over-point", i !== null);
    if (i === null) hideTip();
    else showTip(i, event);
  });
  room.addEventListener("mouseleave", hideTip);
  window.addEventListener("mousedown", (event) => {
    pressed = !inDepth() && room.contains(event.target) && !event.target.closest(".modebar") ? event : null;
  }, true);
  window.addEventListener("mouseup", (event) => {
    if (!pressed || Math.hypot(event.clientX - pressed.clientX, event.clientY - pressed.clientY) > 4) return;
    const i = pointAt(event);
    if (i === null) return;
    if (event.shiftKey || event.ctrlKey || event.metaKey) selectOther(i);
    else select(i);
  }, true);
}

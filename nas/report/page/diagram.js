const SVG = "http://www.w3.org/2000/svg";

function svg(tag, attributes, text) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes || {})) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

const measure = document.createElement("canvas").getContext("2d");

/* Words joined into lines no wider than `width`, in the diagram's font. */
function wrap(words, width) {
  measure.font = `12px ${getComputedStyle(document.body).fontFamily}`;
  const lines = [];
  for (const word of words) {
    const joined = lines.length ? `${lines[lines.length - 1]} · ${word}` : word;
    if (lines.length && measure.measureText(joined).width <= width) lines[lines.length - 1] = joined;
    else lines.push(word);
  }
  return lines;
}

/* Each block's share of the latency, or of the multiply-accumulates where no latency is known. */
function blockShares(detail) {
  const column = detail.operators.some((row) => row[MS] !== null) ? MS : MACS;
  const total = detail.operators.reduce((sum, row) => sum + (row[column] || 0), 0);
  const shares = detail.blocks.map(({ rows: [first, last] }) => {
    const part = detail.operators.slice(first, last + 1).reduce((sum, row) => sum + (row[column] || 0), 0);
    return total ? part / total : 0;
  });
  return { shares, of: column === MS ? "latency" : "multiply-accumulates" };
}

/* Places blocks in rows: a stage starts a new row under its own heading, long stages wrap. */
function place(detail, width) {
  const gap = 26;
  const columns = Math.max(1, Math.floor((width + gap) / (196 + gap)));
  const size = Math.min(columns === 1 ? width - 24 : 240, (width - 4 - gap * (columns - 1)) / columns);
  const placed = [];
  const headings = [];
  let [row, column, y, tallest] = [0, 0, 4, 0];
  detail.blocks.forEach((block, i) => {
    const before = i ? detail.blocks[i - 1].stage : null;
    if (block.stage !== before || column === columns) {
      if (i) [row, y] = [row + 1, y + tallest + gap];
      [column, tallest] = [0, 0];
      if (block.stage !== before && block.stage) {
        headings.push({ text: block.stage, y: y + 12, stage: block.stage });
        y += 22;
      }
    }
    const reads = detail.edges.filter(([from, to]) => to === i && from < i - 1).map(([from]) => `reads ${detail.blocks[from].name}`);
    const lines = wrap([...block.words, ...reads], size - 20);
    const height = 60 + 16 * lines.length;
    placed.push({ block, lines, row, column, x: 2 + column * (size + gap), y, width: size, height });
    tallest = Math.max(tallest, height);
    column += 1;
  });
  for (const box of placed) box.height = Math.max(...placed.filter((b) => b.row === box.row).map((b) => b.height));
  return { placed, headings, height: y + tallest + 8, width: columns * (size + gap), gap };
}

function drawBox(root, { block, lines, x, y, width, height }, share, of) {
  const group = svg("g");
  group.append(svg("title", {}, `${block.name}: ${[block.kind, ...block.words].join(", ")}; output ${block.shape.join(" × ")}; `
    + `${Math.round(100 * share)} % of ${of}`));
  group.append(svg("rect", { class: "box", x, y, width, height, rx: 6 }));
  group.append(svg("text", { class: "name", x: x + 10, y: y + 18 }, block.name));
  const kind = block.kind === block.name ? "" : block.kind;
  group.append(svg("text", { class: "soft", x: x + width - 10, y: y + 18, "text-anchor": "end" }, kind));
  lines.forEach((line, n) => group.append(svg("text", { x: x + 10, y: y + 36 + 16 * n }, line)));
  const foot = y + height - 16;
  group.append(svg("text", { class: "soft", x: x + 10, y: foot }, `${block.shape.join(" × ")}${block.skip ? "  + skip" : ""}`));
  group.append(svg("text", { class: "soft", x: x + width - 10, y: foot, "text-anchor": "end" }, percent(share)));
  group.append(svg("rect", { class: "rail", x: x + 10, y: y + height - 10, width: width - 20, height: 4, rx: 2 }));
  group.append(svg("rect", { class: "fill", x: x + 10, y: y + height - 10, width: Math.max(0, share * (width - 20)), height: 4, rx: 2 }));
  root.append(group);
}

function drawEdge(root, from, to, gap, total) {
  const next = to.index === from.index + 1;
  const middle = (box) => box.y + box.height / 2;
  if (next && to.row === from.row) {
    const end = to.x;
    root.append(svg("path", { class: "arrow", d: `M${from.x + from.width} ${middle(from)}H${end - 7}` }));
    root.append(svg("path", { class: "tip", d: `M${end} ${middle(from)}l-8 -4v8z` }));
  } else if (next) {
    const start = from.x + from.width / 2;
    const end = to.x + Math.min(24, to.width / 2);
    const lane = from.y + from.height + 8;
    root.append(svg("path", { class: "arrow", d: `M${start} ${from.y + from.height}V${lane}H${end}V${to.y - 7}` }));
    root.append(svg("path", { class: "tip", d: `M${end} ${to.y}l-4 -8h8z` }));
  } else {
    const [a, b] = [middle(from) - 8, middle(to) + 8];
    const [x0, x1] = [from.x + from.width, to.x + to.width];
    const side = Math.min(total - 4, Math.max(x0, x1) + gap / 2);
    root.append(svg("path", { class: "jump", d: `M${x0} ${a}C${side} ${a} ${side} ${b} ${x1} ${b}` }));
  }
}

function drawDiagram(holder, detail, name) {
  const width = Math.max(260, holder.clientWidth - 20);
  const { placed, headings, height, gap } = place(detail, width);
  const { shares, of } = blockShares(detail);
  placed.forEach((box, index) => { box.index = index; });
  const root = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `Diagram of ${name}` });
  for (const [from, to] of detail.edges) drawEdge(root, placed[from], placed[to], gap, width);
  for (const { text, y, stage } of headings) {
    const members = detail.blocks.map((block, i) => (block.stage === stage ? i : -1)).filter((i) => i >= 0);
    const share = members.reduce((sum, i) => sum + shares[i], 0);
    const count = `${members.length} block${members.length === 1 ? "" : "s"}`;
    root.append(svg("text", { class: "stage", x: 44, y }, `${text} · ${count} · ${percent(share)} of ${of}`));
  }
  placed.forEach((box, i) => drawBox(root, box, shares[i], of));
  holder.replaceChildren(root);
}

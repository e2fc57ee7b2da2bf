const byId = (name) => document.getElementById(name);
const narrow = () => window.innerWidth < 640;
const isOn = (name) => byId(name).checked;

/* Colours of the theme as Plotly and canvases take them; asked of the style sheet once per theme. */
const colours = new Map();

function colour(name, alpha = 1) {
  if (!colours.has(name)) {
    const probe = byId("probe");
    probe.style.color = `var(--${name})`;
    colours.set(name, getComputedStyle(probe).color);
  }
  const found = colours.get(name);
  if (alpha === 1) return found;
  const [red, green, blue] = found.match(/[\d.]+/g).map(Number);
  return `rgba(${red}, ${green}, ${blue}, ${alpha})`;
}

const series = (count) => [...Array(count).keys()].map((i) => colour(`series${(i % 7) + 1}`));
const SYMBOLS = ["circle", "square", "diamond", "triangle-up", "cross", "star", "hexagon"];

/* Text for Plotly, which reads some HTML: angle brackets and ampersands become entities. */
function plain(text) {
  return String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}

function el(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name === "onclick") node.addEventListener("click", value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

function trouble(words) {
  const box = byId("trouble");
  box.hidden = false;
  box.append(el("p", {}, words));
}

/* Told in the status line, which screen readers read out. */
function say(words) {
  byId("status").textContent = words;
}

const fixed = (value, digits) => value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
const percent = (share, digits = 1) => (share > 0 && share < 0.5 * 10 ** (-digits - 2) ? "<0.1 %" : `${fixed(100 * share, digits)} %`);

/* Whole numbers whole, others with four significant digits at most. */
function short(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e15) return value.toLocaleString("en-US");
  if (size >= 1e12 || size < 1e-4) return value.toPrecision(3);
  const text = fixed(value, Math.max(0, 3 - Math.floor(Math.log10(size))));
  return text.includes(".") ? text.replace(/0+$/, "").replace(/\.$/, "") : text;
}

/* Three significant digits, trailing zeros kept. */
function three(value) {
  const size = Math.abs(value);
  if (value === 0) return "0";
  if (size >= 1e12 || size < 1e-3) return value.toPrecision(3);
  return fixed(value, Math.min(4, Math.max(0, 2 - Math.floor(Math.log10(size)))));
}

function options(select, entries, chosen) {
  select.replaceChildren(...entries.map(([value, text]) => {
    const option = el("option", { value }, text);
    option.selected = value === chosen;
    return option;
  }));
}

function quoted(word) {
  return /^[\w.-]+$/.test(word) ? word : `'${word.replace(/'/g, "'\\''")}'`;
}

function tableOf(head, rows, numbers, label) {
  const cell = (tag, text, n) => el(tag, { class: numbers.includes(n) ? "number" : null, scope: tag === "th" ? "col" : null }, text);
  return el("table", { "aria-label": label },
    el("thead", {}, el("tr", {}, ...head.map((text, n) => cell("th", text, n)))),
    el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map((text, n) => cell("td", text, n))))));
}

/* What Python packed: bytes in base64, little-endian. */
const KINDS = { u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, f4: Float32Array };

function unpack({ kind, bytes }) {
  const text = atob(bytes);
  const raw = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i += 1) raw[i] = text.charCodeAt(i);
  return new KINDS[kind](raw.buffer);
}

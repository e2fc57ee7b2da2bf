const model = JSON.parse(document.getElementById("data").textContent);
const points = model.points;
const state = { selected: null, filter: [] };
const views = [];
const byId = (name) => document.getElementById(name);
const narrow = () => window.innerWidth < 640;
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
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

const shown = (figure, value) => (value === null || value === undefined ? null : value * model.figures[figure].scale);
const figureNumber = (figure, value) => (
  model.figures[figure].unit === "%" ? fixed(shown(figure, value), 2) : three(shown(figure, value))
);
const figureText = (figure, value) => (
  value === null || value === undefined ? "–" : `${figureNumber(figure, value)} ${model.figures[figure].unit}`
);
const frontEntry = (i) => (points.front[i] < 0 ? null : model.front[points.front[i]]);
const provenance = (i, figure) => points.provenances[points.provenance[i]]?.[figure] || "";

/* Whether the architecture passes through every box drawn in the side-by-side plot. */
function passes(i) {
  return state.filter.every((boxes) => boxes.some((box) => box(i)));
}

function axisStyle(title, more) {
  return {
    title: { text: plain(title), standoff: 8 },
    gridcolor: colour("grid"),
    linecolor: colour("line"),
    zeroline: false,
    automargin: true,
    ...more,
  };
}

/* Above the plot; in two columns where it is narrow. */
function legend() {
  const columns = narrow() ? { entrywidth: 0.48, entrywidthmode: "fraction", font: { size: 11 } } : {};
  return { traceorder: "normal", orientation: "h", x: 0, y: 1.02, yanchor: "bottom", xanchor: "left", ...columns };
}

function layout(more) {
  return {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: getComputedStyle(document.body).fontFamily, size: narrow() ? 12 : 13, color: colour("ink") },
    margin: { l: 60, r: narrow() ? 12 : 24, t: 20, b: 50 },
    hoverlabel: {
      bgcolor: colour("panel"), bordercolor: colour("line"), align: "left", font: { color: colour("ink"), size: 12 },
    },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("quiet"), activecolor: colour("front") },
    legend: legend(),
    hovermode: "closest",
    dragmode: narrow() ? false : "zoom",
    ...more,
  };
}

/* No button leads off the page: nothing is ever sent anywhere. */
const config = (buttons = true) => ({
  responsive: true, displaylogo: false, plotlyServerURL: "", showSendToCloud: false,
  displayModeBar: buttons && !narrow() ? "hover" : false,
  modeBarButtonsToRemove: ["autoScale2d", "select2d", "lasso2d"],
  toImageButtonOptions: { format: "svg" },
});

/* Registers a view: drawn at once, again on another theme or width; its failure is told, not fatal. */
function view(name, draw) {
  views.push({ name, draw });
}

function drawView({ name, draw }) {
  try {
    draw();
  } catch (error) {
    trouble(`The part “${name}” could not be drawn: ${error.message}`);
    console.error(error);
  }
}

const redraw = (...names) => views.filter((v) => !names.length || names.includes(v.name)).forEach(drawView);

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

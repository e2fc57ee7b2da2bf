function figureRows(i, figures = model.menu) {
  const entry = frontEntry(i);
  const interval = (figure, bounds) => (bounds ? `${figureNumber(figure, bounds[0])} to ${figureText(figure, bounds[1])}` : "");
  const rows = [];
  for (const figure of figures) {
    const value = points.values[figure][i];
    if (value === null) continue;
    rows.push([model.figures[figure].label, figureText(figure, value), interval(figure, entry?.intervals[figure]), provenance(i, figure)]);
    const measured = entry?.measured[figure];
    if (measured !== undefined) {
      const off = value ? `, ${measured < value ? "−" : "+"}${percent(Math.abs(measured / value - 1))}` : "";
      rows.push([model.figures[figure].label, figureText(figure, measured), "", `measured${off}`]);
    }
    if (figure === "error" && entry && entry.test_error !== null) {
      const bounds = entry.test_error_interval;
      const text = bounds ? `${fixed(100 * bounds[0], 2)} to ${percent(bounds[1], 2)}` : "";
      rows.push(["test error", percent(entry.test_error, 2), text, "test"]);
    }
  }
  return rows;
}

function copyButton(text, code) {
  const button = el("button", { type: "button", "aria-label": `Copy the command: ${text}` }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      window.getSelection().selectAllChildren(code);
      button.textContent = "Selected: press Ctrl+C";
    }
    say("The command is ready to paste.");
  });
  return button;
}

function exportButton(id) {
  if (!hooks.exported) return null;
  const button = el("button", { type: "button" }, "Export now");
  button.addEventListener("click", async () => {
    button.disabled = true;
    say(`Exporting ${id} …`);
    try {
      say(await hooks.exported(id));
    } catch (error) {
      say(`The export failed: ${error.message}`);
    }
    button.disabled = false;
  });
  return button;
}

function exportLines(i) {
  if (isMark(i)) return [el("p", { class: "quiet" }, model.marks[i - points.evaluated].words)];
  const entry = frontEntry(i);
  const command = `${model.export_command} ${quoted(points.id[i])}`;
  const code = el("code", {}, command);
  return [
    el("p", { class: "command" }, "Export it: ", code, copyButton(command, code), exportButton(points.id[i])),
    entry?.export ? el("p", {}, "Already exported: ", el("a", { href: entry.export }, entry.export)) : null,
  ].filter(Boolean);
}

function placeWords(i) {
  if (isMark(i)) return "Not of this space.";
  const entry = frontEntry(i);
  return `${entry ? `On the front, rank ${entry.rank}.` : "Not on the front."}${points.feasible[i] ? "" : " It breaks a limit."}`;
}

/* Beside the front: what was chosen, in short, and where to go on. */
function drawChosen() {
  const i = state.chosen;
  if (i === null) return;
  const wanted = model.menu.filter((figure) => model.objectives.includes(figure) || figure in model.limits || figure === "macs");
  const short_ = figureRows(i, wanted).map(([label, value, , known]) => [label, value, known]);
  const pairWords = state.other === null ? "" : `To compare with: ${points.id[state.other]}.`;
  byId("chosen").replaceChildren(
    el("h3", {}, "Chosen"),
    el("p", {}, el("strong", {}, points.id[i]), ` ${placeWords(i)}`),
    tableOf(["Figure", "Value", "Known by"], short_, [1], "Figures of the chosen architecture"),
    el("ul", {}, ...wordsOf(i).map((line) => el("li", {}, line))),
    el("p", { class: "buttons" },
      el("button", { type: "button", onclick: () => show("one") }, "Diagram and operators"),
      el("button", { type: "button", id: "keep-other", onclick: () => { selectOther(i); say(`${points.id[i]} is the one to compare with; now choose another.`); } }, "Compare this one …"),
      state.other === null || state.other === i ? null : el("button", { type: "button", onclick: () => show("two") }, "Compare the two")),
    el("p", { class: "quiet" }, pairWords),
  );
}

function drawPicks(i) {
  const rows = points.choices
    .map((name, n) => [name, isMark(i) ? -1 : pickOf(i, n), n])
    .filter(([, option]) => option >= 0)
    .map(([name, option, n]) => [name, points.options[n][option]]);
  byId("arch-picks").replaceChildren(
    el("ul", {}, ...wordsOf(i).map((line) => el("li", {}, line))),
    rows.length ? el("details", {}, el("summary", {}, `All ${rows.length} choices`), tableOf(["Choice", "Value"], rows, [], "Choices")) : "",
  );
}

async function fetchDetail(i) {
  if (!hooks.detail) return;
  const found = await hooks.detail(points.id[i]);
  details.set(points.id[i], found);
  if (state.chosen === i) redraw("architecture");
}

function drawArchitecture() {
  const i = state.chosen;
  if (i === null) return;
  chooseOption("arch-select", i);
  byId("arch-head").replaceChildren(el("p", {}, el("strong", {}, points.id[i]), ` ${placeWords(i)}`), ...exportLines(i));
  byId("arch-figures").replaceChildren(tableOf(["Figure", "Value", "Interval", "Known by"], figureRows(i), [1, 2], "Figures of the architecture"));
  drawPicks(i);
  const detail = detailOf(i);
  byId("arch-inside").hidden = !detail;
  byId("arch-outside").replaceChildren();
  if (!detail) {
    const words = "This page does not hold its operators and diagram; they are told by ";
    byId("arch-outside").append(el("p", { class: "absent" }, words, el("code", {}, `${model.explain_command} ${quoted(points.id[i])}`)));
    fetchDetail(i).catch((error) => say(error.message));
    return;
  }
  drawDiagram(byId("arch-diagram"), detail, points.id[i]);
  const known = knownCosts(detail);
  const now = byId("arch-cost").value;
  options(byId("arch-cost"), known.map((name) => [name, COSTS[name].label]), known.includes(now) ? now : known[0]);
  byId("arch-energy").hidden = known.includes("energy");
  drawWaterfall(detail);
  drawEfficiency(detail);
  byId("arch-operators").replaceChildren(operatorTable(detail));
}

/* Shows `i` in a menu of the front's architectures, which it joins when it is not on the front. */
function chooseOption(menu, i) {
  const chooser = byId(menu);
  if (![...chooser.options].some((option) => option.value === String(i))) {
    const words = isMark(i) ? points.id[i] : `evaluation ${points.number[i]} · ${points.id[i]}`;
    chooser.append(el("option", { value: i }, words));
  }
  chooser.value = String(i);
}

function architectureEntries() {
  const label = (entry) => {
    const parts = model.objectives.map((figure) => figureText(figure, points.values[figure][entry.point]));
    return [`${entry.rank}. ${entry.id}`, ...parts].join(" · ");
  };
  const entries = model.front.map((entry) => [String(entry.point), label(entry)]);
  for (let i = points.evaluated; i < points.id.length; i += 1) entries.push([String(i), points.id[i]]);
  if (!entries.length) entries.push(["0", `evaluation ${points.number[0]} · ${points.id[0]}`]);
  return entries;
}

let architectureReady = false;

function setUpArchitecture() {
  if (!points.id.length) return;
  options(byId("arch-select"), architectureEntries(), String(state.chosen ?? ""));
  if (!architectureReady) {
    architectureReady = true;
    byId("arch-line").value = three(model.device?.waterline ?? 25).replace(/,/g, "");
    byId("arch-select").addEventListener("change", () => select(Number(byId("arch-select").value)));
    for (const name of ["order", "small", "cost", "level", "line"]) byId(`arch-${name}`).addEventListener("change", () => redraw("architecture"));
    view("chosen", "front", drawChosen);
    view("architecture", "one", drawArchitecture);
  }
}

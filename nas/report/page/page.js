window.addEventListener("error", (event) => trouble(`A part of this page failed: ${event.message}`));
for (const setUp of [setUpFront, setUpArchitecture, setUpCompare, setUpImportances, setUpTrust]) {
  drawView({ name: setUp.name, draw: setUp });
}
if (model.front.length) select(model.front[0].point);
else if (points.id.length) select(0);
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redraw());
let width = window.innerWidth;
window.addEventListener("resize", () => {
  if (width === window.innerWidth) return;
  width = window.innerWidth;
  redraw("front", "architecture", "compare");
});
document.documentElement.dataset.ready = "true";

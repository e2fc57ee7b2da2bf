setUpPage();
update(JSON.parse(byId("data").textContent));
document.documentElement.dataset.ready = "true";
requestAnimationFrame(() => setTimeout(() => {
  document.documentElement.dataset.painted = String(Math.round(performance.now()));
}, 0));

/* Views by the part of the address behind "#", so that each has a link and the back button works. */
const ROOMS = ["front", "one", "two", "space", "trust", "run"];

function show(room) {
  if (window.location.hash !== `#${room}`) window.history.pushState(null, "", `#${room}`);
  openRoom();
  window.scrollTo(0, 0);
}

function openRoom() {
  const asked = window.location.hash.slice(1);
  state.view = ROOMS.includes(asked) ? asked : "front";
  for (const room of ROOMS) byId(`view-${room}`).classList.toggle("open", room === state.view);
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${state.view}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  drawStale();
}

/* Light, dark, or as the system has it. */
function setTheme(theme) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  try {
    window.localStorage.setItem("nas-theme", theme);
  } catch { /* a file opened without storage keeps the theme for this visit only */ }
  repaint();
}

function repaint() {
  colours.clear();
  redraw();
}

function keptTheme() {
  try {
    return window.localStorage.getItem("nas-theme") || "system";
  } catch {
    return "system";
  }
}

function setUpPage() {
  window.addEventListener("error", (event) => trouble(`A part of this page failed: ${event.message}`));
  window.addEventListener("hashchange", openRoom);
  window.addEventListener("popstate", openRoom);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
  byId("theme").value = keptTheme();
  byId("theme").addEventListener("change", () => setTheme(byId("theme").value));
  if (keptTheme() !== "system") document.documentElement.dataset.theme = keptTheme();
  let width = window.innerWidth;
  window.addEventListener("resize", () => {
    if (width === window.innerWidth) return;
    width = window.innerWidth;
    redraw();
  });
  document.documentElement.classList.add("js");
  setUpTrust();
  openRoom();
}

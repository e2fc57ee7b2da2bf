/* Keeps the page up to date while its run goes on, and exports on demand. */
const LOOK_MS = 2000;
const LOST_MS = 5000;

const live = { version: null, busy: null, order: null };
const news = el("p", { id: "live", class: "note", "aria-live": "off" }, "");

async function asked(address, request) {
  const answer = await fetch(address, { cache: "no-cache", credentials: "same-origin", ...request });
  if (!answer.ok) {
    const told = await answer.text();
    let words = told.trim();
    try {
      words = JSON.parse(told).error || words;
    } catch {
      /* not every refusal is JSON */
    }
    throw new Error(words || `the server answers ${answer.status}`);
  }
  return answer.json();
}

async function hear() {
  const now = await asked("status");
  news.textContent = now.words;
  if (live.version !== now.version) {
    update(await asked("data"));
    live.version = now.version;
  }
  if (live.busy && !now.busy) say(now.words);
  live.busy = now.busy;
}

async function follow() {
  let pause = LOOK_MS;
  if (!document.hidden) {
    try {
      await hear();
    } catch (error) {
      news.textContent = `The server does not answer (${error.message}); the page shows what it knew last.`;
      pause = LOST_MS;
    }
  }
  setTimeout(follow, pause);
}

hooks.exported = async (id) => {
  live.order ||= (await asked("session")).order;
  const done = await asked("export", {
    method: "POST",
    headers: { "content-type": "application/json", "x-nas-token": live.order },
    body: JSON.stringify({ id }),
  });
  return done.words;
};

hooks.detail = (id) => asked(`architecture/${encodeURIComponent(id)}`);

byId("content").prepend(news);
setTimeout(follow, 0);

// What the page does in a browser: it exchanges the parts that are different, puts times on the reader's clock, and lets
// ages grow. Without it the page is whole, and as old as it says.
// All HTML comes from the server, which has escaped every name in it; nothing here makes any of its own.

const policy = globalThis.trustedTypes?.createPolicy("locksmith", { createHTML: (text) => text }) ??
  { createHTML: (text) => text };
const parts = document.getElementById("parts");
const link = document.getElementById("link");
const say = document.getElementById("say");
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
// made once: to make one takes longer than to use it a hundred times
const TIME = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric", month: "short" });
const FULL = new Intl.DateTimeFormat("en-GB", { dateStyle: "full", timeStyle: "long", timeZone: zone });

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
/** How long no event may come before the connection counts as lost: the server sends one every 15 s. */
const SILENCE_MS = 40_000;
/** How long after it broke a connection is made again. */
const AGAIN_MS = 2_000;
/** What is said aloud is said so far apart at least. */
const SAY_MS = 5_000;

/** How far the server's clock is ahead of this one. */
let skewMs = Number(document.body.dataset.now) - Date.now();
let heardMs = Date.now();
let saidMs = 0;

function serverNow() {
  return Date.now() + skewMs;
}

/** The same words as the server's. */
function roughly(ms) {
  if (ms < MINUTE_MS) return `${Math.max(0, Math.floor(ms / 1000))} s`;
  if (ms < HOUR_MS) return `${Math.floor(ms / MINUTE_MS)} min`;
  const [large, small, largeName, smallName] = ms < DAY_MS
    ? [HOUR_MS, MINUTE_MS, "h", "min"]
    : [DAY_MS, HOUR_MS, "d", "h"];
  const rest = Math.floor((ms % large) / small);
  return `${Math.floor(ms / large)} ${largeName}${rest === 0 ? "" : ` ${rest} ${smallName}`}`;
}

function about(ms) {
  const step = ms < 30 * MINUTE_MS ? MINUTE_MS : ms < 6 * HOUR_MS ? 5 * MINUTE_MS : 30 * MINUTE_MS;
  return ms < MINUTE_MS ? "a minute" : roughly(Math.ceil(ms / step) * step);
}

function clock(date, after) {
  const time = TIME.format(date);
  const near = after === undefined ? new Date(serverNow()) : new Date(after);
  if (date.toDateString() === near.toDateString()) return time;
  return `${DAY.format(date).replace(",", "")} ${time}`;
}

const WORDS = {
  clock,
  age: (date) => roughly(serverNow() - date),
  ahead: (date) => `in ${roughly(Math.max(0, date - serverNow()))}`,
  about: (date) => `about ${about(Math.max(0, date - serverNow()))}`,
};

function tick() {
  for (const time of document.querySelectorAll("time[data-show]")) {
    const date = new Date(time.dateTime);
    const text = WORDS[time.dataset.show](date, time.dataset.after);
    if (time.textContent !== text) time.textContent = text;
    if (time.title === "") time.title = FULL.format(date);
  }
}

/** Puts a part in its place. Who had the focus on a link of it has it on the same link again. */
function put(place, { html, mark }) {
  place.dataset.mark = mark;
  const focused = place.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  place.innerHTML = policy.createHTML(html);
  if (focused !== null) {
    place.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  }
}

function take({ now, title, spoken, order, parts: fresh }) {
  skewMs = now - Date.now();
  document.title = `${title} - locksmith`;
  const places = new Map([...parts.children].map((place) => [place.dataset.part, place]));
  order.forEach((key, index) => {
    let place = places.get(key);
    places.delete(key);
    if (place === undefined) {
      place = document.createElement("div");
      place.dataset.part = key;
    }
    if (parts.children[index] !== place) parts.insertBefore(place, parts.children[index] ?? null);
    if (fresh[key] !== undefined) put(place, fresh[key]);
  });
  for (const place of places.values()) place.remove();
  tick();
  speak(spoken);
}

/** Says what has changed to who cannot see it, not too often. */
function speak(text) {
  clearTimeout(speak.timer);
  if (say.textContent === text) return;
  speak.timer = setTimeout(() => {
    saidMs = Date.now();
    say.textContent = text;
  }, Math.max(0, saidMs + SAY_MS - Date.now()));
}

function show(state, text) {
  if (link.className === `link ${state}`) return;
  link.className = `link ${state}`;
  link.textContent = text;
}

/** Listens from what is shown on. A connection that breaks is made anew here: what is shown is another by then. */
function listen() {
  const url = new URL(document.body.dataset.events, location.href);
  url.searchParams.set(
    "have",
    [...parts.children].map(({ dataset: { part, mark } }) => `${part}.${mark}`).join(" "),
  );
  const source = new EventSource(url);
  source.onmessage = ({ data }) => {
    heardMs = Date.now();
    take(JSON.parse(data));
    show("live", "live");
  };
  source.onerror = () => {
    source.close();
    lost();
    setTimeout(listen, AGAIN_MS);
  };
}

function lost() {
  show("lost", `no connection since ${TIME.format(heardMs)}, trying again`);
}

document.getElementById("zone").textContent = zone;
// the days of a freeze are those of the reader
document.getElementById("clock")?.setAttribute("value", zone);
tick();
setInterval(() => {
  if (!document.hidden) tick();
}, 1000);
// the forms do not change while somebody fills them in
if (parts !== null) {
  listen();
  setInterval(() => {
    if (Date.now() - heardMs > SILENCE_MS) lost();
  }, 1000);
}

// Which page is shown, and what is heard of the chain meanwhile.

import { h, quiet, timeOf } from "./dom.mjs";
import { json, keepSecret, Refused } from "./api.mjs";
import * as chain from "./chain.mjs";
import * as meter from "./meter.mjs";
import * as people from "./people.mjs";
import * as reading from "./reading.mjs";
import * as zone from "./zone.mjs";

// Route: a page takes what stands behind its name, and gives what is shown; `onEvent` keeps it up to date.
const PAGES = {
  chain: chain.blocks,
  block: chain.block,
  zones: zone.zones,
  zone: zone.zone,
  meters: meter.meters,
  meter: meter.meter,
  reading: reading.reading,
  verify: reading.verify,
  gateways: people.gateways,
  authorities: people.authorities,
  evidence: people.evidence,
};
const BELONGS = { block: "chain", zone: "zones", meter: "meters", reading: "meters" };

const view = document.getElementById("view");
let shown = null;
let visit = 0;

async function show() {
  const [name, ...parts] = (location.hash.slice(2) || "chain").split("/").map(decodeURIComponent);
  if (name === "meter" && parts.length === 2) {
    keepSecret(parts[0], parts[1]); // From a holder's link: out of the address bar, so that nobody copies it from there.
    history.replaceState(null, "", `#/meter/${encodeURIComponent(parts[0])}`);
    parts.pop();
  }
  const mine = ++visit;
  for (const each of document.querySelectorAll("nav a")) {
    const here = each.hash === `#/${BELONGS[name] ?? name}`;
    if (here) each.setAttribute("aria-current", "page");
    else each.removeAttribute("aria-current");
  }
  let page;
  try {
    page = PAGES[name] ? await PAGES[name](...parts) : { body: problem("There is no such page", "choose one above") };
  } catch (reason) {
    if (!(reason instanceof Refused)) console.error(reason);
    page = { body: problem("This cannot be shown", reason.message) };
  }
  if (mine !== visit) return; // Another page was chosen meanwhile.
  shown = page;
  view.replaceChildren(...[page.body].flat());
  page.drawn?.();
  document.title = `${view.querySelector("h1")?.textContent ?? name} · GridWitness`;
  if (mine > 1) view.focus({ preventScroll: true }); // The first page is read from its top.
  scrollTo(0, 0);
}

function problem(title, words) {
  return h("div", { class: "card problem", role: "alert" }, h("h1", {}, title), h("p", {}, words));
}

const LISTEN_AGAIN_MS = 10_000;

function listen() {
  const live = document.getElementById("live");
  const events = new EventSource("api/v1/events");
  events.onerror = () => {
    live.replaceChildren("the validator is away or busy; trying again …");
    // Who was answered that too many listen is not asked again by the browser itself.
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, LISTEN_AGAIN_MS);
  };
  events.onopen = () => live.replaceChildren("live");
  for (const kind of ["block", "seal", "evidence"]) {
    events.addEventListener(kind, (event) => {
      const data = JSON.parse(event.data);
      if (kind === "block") live.replaceChildren(`block ${data.height}, ${timeOf(data.time_ms / 1000)}`);
      shown?.onEvent?.(kind, data);
    });
  }
}

async function greet() {
  const status = await json("status");
  document.getElementById("network").replaceChildren(`${status.network}, told by ${status.validator}`);
}

addEventListener("hashchange", show);
greet().catch((reason) => view.before(quiet(reason.message)));
show();
listen();

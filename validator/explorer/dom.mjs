// Elements, numbers and times: how things are written on this page, and nothing about what they mean.

const SVG = "http://www.w3.org/2000/svg";

// h("p", { class: "quiet", onclick: deed }, "text", h("b", {}, "more"), null): strings become text, never markup.
export function h(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

export function s(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

export function table(heads, rows) {
  const head = heads.map((each) => h("th", { scope: "col", class: each.startsWith("#") ? "number" : null }, each.replace("#", "")));
  const body = rows.map((row) => row instanceof Element ? row : line(row, heads));
  return sliding(heads.join(", ").replaceAll("#", ""), h("table", {}, h("thead", {}, h("tr", {}, head)), h("tbody", {}, body)));
}

// What may be wider than the screen: it slides sideways, and says so as long as something is out of sight.
export function sliding(label, content) {
  const sign = h("p", { class: "quiet slide", hidden: true }, "→ There is more to the right: slide it sideways.");
  const region = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, content);
  const look = () => {
    sign.hidden = region.scrollLeft + region.clientWidth >= region.scrollWidth - 1;
    region.classList.toggle("more", !sign.hidden);
  };
  region.addEventListener("scroll", look);
  const observer = new ResizeObserver(look);
  for (const each of [region, content]) observer.observe(each);
  return h("div", { class: "wide" }, region, sign);
}

export const line = (cells, heads = []) =>
  h("tr", {}, cells.map((cell, place) => h("td", { class: heads[place]?.startsWith("#") ? "number" : null }, cell ?? "–")));

export const link = (to, ...words) => h("a", { href: `#/${to}` }, ...words);
export const path = (...parts) => parts.map(encodeURIComponent).join("/");
export const quiet = (...words) => h("p", { class: "quiet" }, ...words);
export const facts = (pairs) => h("dl", {}, pairs.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
export const hash = (text) => h("span", { class: "hash" }, text);
export const short = (text) => h("span", { class: "hash short", title: text }, `${text.slice(0, 10)}…`);

const MARKS = { BALANCED: "=", SUSPECT: "?", IMPOSSIBLE: "✗", INCONCLUSIVE: "…", UNREFERENCED: "–" };
export const mark = (verdict) => MARKS[verdict] ?? "·";
export const verdict = (word) => word ? h("span", { class: `verdict ${word}` }, `${mark(word)} ${word}`) : "no seal yet";

const format = (options) => new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", hourCycle: "h23", ...options });
const DAY = { year: "numeric", month: "short", day: "numeric" }, CLOCK = { hour: "2-digit", minute: "2-digit" };
const [day, clock, second] = [DAY, CLOCK, { ...DAY, ...CLOCK, second: "2-digit" }].map(format);
export const dayOf = (time) => day.format(time * 1000);
export const clockOf = (time) => clock.format(time * 1000);
export const timeOf = (time) => `${second.format(time * 1000)} UTC`;
export const span = (start, end) => `${dayOf(start)}, ${clockOf(start)} to ${clockOf(end)} UTC`;

export const count = (number) => number.toLocaleString("en-GB");
export const many = (number, one, more = `${one}s`) => `${count(number)} ${number === 1 ? one : more}`;
export const energy = (wh) => Math.abs(wh) < 10_000 ? `${count(wh)} Wh` : `${count(Math.round(wh / 10) / 100)} kWh`;

export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

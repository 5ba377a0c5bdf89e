// Questions to the validator that this page comes from, and the holder's secret that goes with some of them.

export class Refused extends Error {
  constructor(status, words) {
    super(words);
    this.status = status;
  }
}

// A holder's link is …/#/meter/METER/SECRET: what stands behind # stays in the browser, and here for this tab only.
const secretName = (meter) => `holder/${meter}`;
export const keepSecret = (meter, secret) => sessionStorage.setItem(secretName(meter), secret);
export const secretOf = (meter) => sessionStorage.getItem(secretName(meter));

async function ask(path, meter = null) {
  const secret = meter && secretOf(meter);
  let answer;
  try {
    answer = await fetch(path, { headers: secret ? { Authorization: `Bearer ${secret}` } : {} });
  } catch {
    throw new Refused(0, "the validator does not answer: is it running, and are you connected?");
  }
  if (answer.ok) return answer;
  const said = await answer.json().catch(() => ({}));
  throw new Refused(answer.status, [said.detail ?? said.title ?? `HTTP ${answer.status}`, said.remedy].filter(Boolean).join(": "));
}

export const json = async (path, meter) => (await ask(`api/v1/${path}`, meter)).json();
export const octets = async (path, meter) => new Uint8Array(await (await ask(`api/v1/${path}`, meter)).arrayBuffer());
export const text = async (path) => (await ask(`api/v1/${path}`)).text();

export async function all(path) {
  const rows = [];
  for (let next = null; ; ) {
    const page = await json(`${path}${next === null ? "" : `${path.includes("?") ? "&" : "?"}after=${encodeURIComponent(next)}`}`);
    rows.push(...page.items);
    if (page.next === null || rows.length >= 5000) return rows;
    next = page.next;
  }
}

// Whoever trusts no server brings the genesis file along; it stays in this browser.
const OWN = "genesis";
let served = null;
export async function genesis() {
  const own = localStorage.getItem(OWN);
  if (own !== null) return { text: own, own: true };
  served ??= await text("genesis");
  return { text: served, own: false };
}
export const keepGenesis = (content) => localStorage.setItem(OWN, content);
export const forgetGenesis = () => localStorage.removeItem(OWN);

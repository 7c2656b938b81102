// The API as this page uses it. The key stays in this tab's session and is sent to this host alone.
const KEY = "convergence.key";
const WHO = "convergence.who";
let served = new Set();

export const session = {
  get key() { return sessionStorage.getItem(KEY) ?? ""; },
  get isAdmin() { return sessionStorage.getItem(WHO) === "admin"; },
  start(key, who) { sessionStorage.setItem(KEY, key); sessionStorage.setItem(WHO, who); },
  end() { sessionStorage.removeItem(KEY); sessionStorage.removeItem(WHO); },
};

export class Refusal extends Error {
  constructor(status, body) {
    super(body?.detail ?? `HTTP ${status}`);
    Object.assign(this, { status, title: body?.title, detail: body?.detail ?? `HTTP ${status}`, code: body?.code, errors: body?.errors, trace_id: body?.trace_id });
  }
}

export async function learn() {
  const answer = await fetch("/console/endpoints.json");
  served = new Set(await answer.json());
}

// What this gateway serves: a page offers nothing else.
export const has = (endpoint) => served.has(endpoint);

export async function call(method, path, { body, text, headers, signal } = {}) {
  const key = session.isAdmin ? { "X-Admin-Key": session.key } : { "X-API-Key": session.key };
  const kind = text !== undefined ? { "Content-Type": "application/yaml" } : body !== undefined ? { "Content-Type": "application/json" } : {};
  const once = method === "POST" ? { "Idempotency-Key": crypto.randomUUID() } : {};
  let answer;
  try {
    answer = await fetch(path, { method, signal, headers: { ...key, ...kind, ...once, ...headers }, body: text ?? (body === undefined ? undefined : JSON.stringify(body)) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, { title: "No connection", detail: "The gateway does not answer; is it running?" });
  }
  const found = answer.status === 204 ? null : await answer.json().catch(() => null);
  if (answer.ok) return found;
  if (answer.status === 401 && session.key) window.dispatchEvent(new Event("signed-out"));
  throw new Refusal(answer.status, found);
}

export const get = (path, options) => call("GET", path, options);
export const post = (path, body, options) => call("POST", path, { body, ...options });
export const query = (path, values) => {
  const given = Object.entries(values).filter(([, value]) => value !== undefined && value !== "");
  return given.length ? `${path}?${new URLSearchParams(given)}` : path;
};
export const RUNS = "/api/v1/pipelines/runs";
export const CONFIGS = "/api/v1/pipelines/configs";
export const ENDED = new Set(["COMPLETED", "FAILED", "CANCELLED", "REJECTED"]);

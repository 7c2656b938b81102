import { get, has, learn, session } from "./api.js";
import { button, field, h, problem } from "./dom.js";

// Each page is fetched when it is first opened, so that the first screen is small.
const PAGES = [
  { name: "Overview", at: "overview", load: () => import("./views/overview.js") },
  { name: "Runs", at: "runs", load: () => import("./views/runs.js") },
  { name: "Pipelines", at: "pipelines", load: () => import("./views/pipelines.js") },
  { name: "Templates", at: "templates", load: () => import("./views/templates.js"), needs: "GET /api/v1/templates" },
  { name: "Credentials", at: "credentials", load: () => import("./views/credentials.js"), needs: "GET /api/v1/tenants/{tenant_id}/credentials" },
  { name: "Keys", at: "keys", load: () => import("./views/keys.js"), needs: "GET /api/v1/tenants/api-keys" },
  { name: "Audit", at: "audit", load: () => import("./views/audit.js"), needs: "GET /api/v1/audit/events" },
  { name: "Tenants", at: "tenants", load: () => import("./views/admin.js"), admin: true },
  { name: "Scheduler", at: "scheduler", load: () => import("./views/scheduler.js"), admin: true },
  { name: "Dead letters", at: "letters", load: () => import("./views/letters.js"), admin: true },
  { name: "Audit", at: "trail", load: () => import("./views/audit.js"), admin: true, needs: "GET /api/v1/audit/events" },
];
const main = document.getElementById("main");
const top = document.getElementById("top");
let leaving = new AbortController();

const pages = () => PAGES.filter((page) => Boolean(page.admin) === session.isAdmin && (!page.needs || has(page.needs)));

function chrome(current) {
  if (!session.key) return top.replaceChildren(h("div", { class: "bar" }, h("span", { class: "name" }, "Convergence")));
  const links = pages().map((page) => h("a", { href: `#/${page.at}`, "aria-current": page.at === current ? "page" : undefined }, page.name));
  top.replaceChildren(h("div", { class: "bar" }, h("span", { class: "name" }, "Convergence"),
    h("nav", { "aria-label": "Pages" }, links), button("Sign out", () => { session.end(); location.hash = ""; show(); })));
}

function signIn(why) {
  chrome();
  document.title = "Sign in · Convergence";
  const key = h("input", { type: "password", name: "key", autocomplete: "off", required: true, spellcheck: "false" });
  const wrong = h("div", {}, why && h("p", { class: "problem", role: "alert" }, why));
  const form = h("form", { class: "card small" }, h("h1", {}, "Sign in"), wrong,
    field("API key", "Your tenant's key, or an operator's. It stays in this tab and is gone when you close it.", key),
    h("button", { type: "submit", class: "first" }, "Sign in"));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const text = key.value.trim();
    const who = /^[a-z][a-z0-9_]*_api_[0-9A-Za-z]{49}$/.test(text) ? "tenant" : "admin";
    session.start(text, who);
    try {
      await get(who === "tenant" ? "/api/v1/tenants/me" : "/api/v1/admin/tenants");
      show();
    } catch (error) {
      session.end();
      chrome();
      wrong.replaceChildren(problem(error));
      key.focus();
    }
  });
  main.replaceChildren(form);
  key.focus();
}

async function show() {
  leaving.abort();
  leaving = new AbortController();
  const signal = leaving.signal;
  if (!session.key) return signIn();
  const [at, ...rest] = location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
  const page = pages().find((one) => one.at === at) ?? pages()[0];
  chrome(page.at);
  document.title = `${page.name} · Convergence`;
  const place = h("div", {}, h("p", { class: "soft" }, "Loading…"));
  main.replaceChildren(place);
  try {
    const view = await page.load();
    await view.show(place, { rest, signal, again: show });
    if (!signal.aborted && document.activeElement === document.body) main.focus({ preventScroll: true });
  } catch (error) {
    if (error.name !== "AbortError" && session.key) place.replaceChildren(h("h1", {}, page.name), problem(error));
  }
}

window.addEventListener("hashchange", show);
window.addEventListener("signed-out", () => { session.end(); leaving.abort(); signIn("The key is not valid, or not any more: sign in with another."); });
document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); main.focus(); });
await learn();
show();

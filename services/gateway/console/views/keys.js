import { call, get, has, post } from "../api.js";
import { ask, button, card, field, h, say, state, table, when } from "../dom.js";

const KEYS = "/api/v1/tenants/api-keys";

export const shown = (made) => h("div", {}, h("p", {}, "This key is shown once. Keep it now."),
  h("p", { class: "secret" }, h("code", { "data-key": "" }, made.api_key)),
  button("Copy", () => navigator.clipboard?.writeText(made.api_key).then(() => say("Copied"))));

export async function show(place, { signal, again }) {
  const { keys } = await get(KEYS, { signal });
  const hash = (row) => row.api_key_hash ?? row.key?.key_hash;
  const part = (row, name) => row[name] ?? row.key?.[name];
  const create = () => {
    const about = h("input", { name: "description", maxlength: 200, autocomplete: "off" });
    ask("New key", field("What for", "", about), "Make it", async () => { const made = await post(KEYS, { description: about.value }); again(); return shown(made); });
  };
  const rotate = (row) => ask("Rotate this key?", h("p", {}, "A new key is made; the old one keeps working for a while."), "Rotate",
    async () => { const made = await post(`${KEYS}/${hash(row)}/rotate`, {}); again(); return shown(made); });
  const revoke = (row) => ask("Revoke this key?", h("p", {}, "It opens nothing within two seconds."), "Revoke",
    async () => { await call("DELETE", `${KEYS}/${hash(row)}`); say("Revoked"); again(); });
  place.replaceChildren(h("h1", {}, "Keys"), card("", table([
    ["Key", (row) => h("code", {}, `…${part(row, "last_four")}`)], ["What for", (row) => part(row, "description")],
    ["State", (row) => state(row.is_active ? "ACTIVE" : "CANCELLED")], ["Made", (row) => when(row.created_at)],
    ["Ends", (row) => when(part(row, "expires_at"))],
    ["", (row) => row.is_active && h("div", { class: "row" },
      has(`POST ${KEYS}/{key_hash}/rotate`) && button("Rotate", () => rotate(row)), button("Revoke", () => revoke(row), "danger"))],
  ], keys), has(`POST ${KEYS}`) && h("p", {}, button("New key", create, "first"))));
}

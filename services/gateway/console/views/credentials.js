import { call, get, has, post } from "../api.js";
import { ask, button, card, field, h, say, table, when } from "../dom.js";

const PROVIDERS = ["GCP", "AWS", "AZURE", "OPENAI", "ANTHROPIC", "GENERIC"];
const SERVED = "/api/v1/tenants/{tenant_id}/credentials";

export async function show(place, { signal, again }) {
  const me = await get("/api/v1/tenants/me", { signal });
  const path = `/api/v1/tenants/${me.tenant_id}/credentials`;
  const { credentials } = await get(path, { signal });
  const add = () => {
    const provider = h("select", { name: "provider" }, PROVIDERS.map((one) => h("option", {}, one)));
    const secret = h("textarea", { name: "secret", rows: 6, required: true, spellcheck: "false", autocomplete: "off", placeholder: '{"api_key": "…"}' });
    ask("Store a credential", [field("Provider", "", provider), field("Secret", "A JSON object. It is encrypted before it leaves the gateway and is never shown again.", secret)],
      "Store", async () => {
        const made = await post(path, { provider: provider.value, credentials: JSON.parse(secret.value) });
        say(`${made.provider}: ${made.action}`);
        again();
      });
  };
  const remove = (row) => ask(`Delete ${row.credential_id}?`, h("p", {}, "Its ciphertext is destroyed."), "Delete",
    async () => { await call("DELETE", `${path}/${row.credential_id}`); again(); });
  const test = async (row) => { const told = await post(`${path}/${row.credential_id}/test`, {}).catch((error) => error); say(told.detail ?? told.status ?? "It can be opened"); };
  place.replaceChildren(h("h1", {}, "Credentials"), card("", table([
    ["Credential", (row) => row.credential_id], ["Provider", (row) => row.provider], ["Changed", (row) => when(row.updated_at)],
    ["", (row) => h("div", { class: "row" }, has(`POST ${SERVED}/{credential_id}/test`) && button("Test", () => test(row)),
      button("Delete", () => remove(row), "danger"))],
  ], credentials), h("p", {}, button("Store a credential", add, "first"))));
}

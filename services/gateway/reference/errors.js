// Every code that this gateway answers with, from its own document.
import { card, h } from "/console/dom.js";

const { components } = await (await fetch("/openapi.json")).json();
const GROUPS = { 4: "The request", 5: "The platform" };
const codes = Object.values(components.examples).map((example) => example.value);
const told = (one) => [h("dt", { id: one.code }, h("code", {}, one.code), ` ${one.status} ${one.title}`), h("dd", {}, one.detail)];

document.getElementById("main").append(h("div", {},
  h("p", {}, "A refusal is a problem document (RFC 9457). Its ", h("code", {}, "code"), " is stable; ", h("code", {}, "detail"), " says what to do, ", h("code", {}, "errors"), " where it was wrong, and ", h("code", {}, "trace_id"), " is for the operator."),
  Object.entries(GROUPS).map(([first, name]) => card(name, h("dl", {}, codes.filter((one) => String(one.status)[0] === first).map(told))))));
document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();

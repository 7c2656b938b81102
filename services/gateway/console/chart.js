import { h, s, money } from "./dom.js";

const WIDEST = 720, HEIGHT = 200, LEFT = 8, BOTTOM = 22, MARK = 40;

// Stacked bars per day; the same numbers follow as a table for those who do not see it.
export function stacked(days, series, currency) {
  const WIDTH = Math.min(WIDEST, innerWidth - 64); // so that its words are never shrunk
  const sum = (i) => series.reduce((total, one) => total + one.values[i], 0);
  const most = Math.max(...days.map((_, i) => sum(i)), 0.01);
  const step = (WIDTH - LEFT) / days.length;
  const bars = days.flatMap((name, i) => {
    let top = HEIGHT - BOTTOM;
    return series.map((one, kind) => {
      const tall = (one.values[i] / most) * (HEIGHT - BOTTOM - 16);
      top -= tall;
      return tall > 0 && s("rect", { class: `s${kind % 6}`, x: LEFT + i * step + 1, y: top, width: Math.max(step - 2, 1), height: tall },
        s("title", {}, `${name} ${one.name}: ${money(one.values[i], currency)}`));
    });
  });
  const every = Math.ceil(days.length / 8);
  const marks = days.map((name, i) => i % every === 0 && LEFT + i * step + MARK <= WIDTH && // none is cut off
    s("text", { x: LEFT + i * step, y: HEIGHT - 5, class: "soft" }, name.slice(5)));
  const drawing = s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `Cost per day, at most ${money(most, currency)}` },
    s("line", { class: "axis", x1: 0, x2: WIDTH, y1: HEIGHT - BOTTOM, y2: HEIGHT - BOTTOM }),
    s("text", { x: LEFT, y: 11, class: "soft" }, money(most, currency)), bars, marks);
  const legend = h("ul", { class: "legend" }, series.map((one, kind) => h("li", {},
    s("svg", { viewBox: "0 0 10 10", "aria-hidden": "true" }, s("rect", { width: 10, height: 10, rx: 2, class: `s${kind % 6}` })),
    `${one.name} ${money(one.values.reduce((a, b) => a + b, 0), currency)}`)));
  return h("div", {}, drawing, legend);
}

// Steps from left to right by what they need.
export function graph(steps, states) {
  const depth = new Map();
  const known = new Map(steps.map((step) => [step.step_id, step]));
  const place = (id, seen = new Set()) => {
    if (depth.has(id) || seen.has(id)) return depth.get(id) ?? 0;
    seen.add(id);
    const needs = (known.get(id)?.needs ?? []).filter((need) => known.has(need));
    depth.set(id, needs.length ? Math.max(...needs.map((need) => place(need, seen))) + 1 : 0);
    return depth.get(id);
  };
  steps.forEach((step) => place(step.step_id));
  const rows = [], at = new Map();
  for (const step of steps) {
    const column = depth.get(step.step_id);
    rows[column] = (rows[column] ?? 0) + 1;
    at.set(step.step_id, [10 + column * 210, 10 + (rows[column] - 1) * 58]);
  }
  const width = 10 + rows.length * 210, height = 10 + Math.max(...rows, 1) * 58;
  const edges = steps.flatMap((step) => (step.needs ?? []).filter((need) => at.has(need)).map((need) => {
    const [x1, y1] = at.get(need), [x2, y2] = at.get(step.step_id);
    return s("path", { class: "edge", d: `M${x1 + 170} ${y1 + 22} C${x1 + 190} ${y1 + 22} ${x2 - 20} ${y2 + 22} ${x2} ${y2 + 22}` });
  }));
  const nodes = steps.map((step) => {
    const [x, y] = at.get(step.step_id), told = states.get(step.step_id)?.status ?? "PENDING";
    const short = step.step_id.length > 22 ? `${step.step_id.slice(0, 21)}…` : step.step_id;
    return s("g", { class: told }, s("title", {}, `${step.step_id} (${step.type}): ${told}`),
      s("rect", { class: "node", x, y, width: 170, height: 44, rx: 7 }),
      s("text", { x: x + 10, y: y + 19 }, short), s("text", { x: x + 10, y: y + 35, class: "soft" }, told));
  });
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Steps and what they need" },
    s("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": steps.map((one) => `${one.step_id}: ${states.get(one.step_id)?.status ?? "PENDING"}`).join(", ") }, edges, nodes));
}

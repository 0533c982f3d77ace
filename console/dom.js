// SPDX-License-Identifier: Apache-2.0
// Elements, and how numbers and times are written.

/** An element: `h("button.quiet", {onclick}, "Run")`. Text is set as text, never read as HTML. */
export function h(name, attributes, ...children) {
  const [tag, ...classes] = name.split(".");
  const element = document.createElement(tag || "div");
  if (classes.length) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (value == null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key in element && !key.startsWith("aria-") && key !== "list") element[key] = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child != null && child !== false));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** An element of SVG. */
export function svg(name, attributes, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value != null) element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

/** Paths of the icons, drawn with a line in a box of 24. */
const ICONS = {
  market: "M4 20V4M4 20h16M9 8v8M9 10h0M13 6v9M17 9v6",
  forecast: "M4 18c4 0 5-6 8-6M12 12c3 0 4-5 8-7M12 12c3 0 5 1 8 1M12 12c3 0 4 4 8 6",
  sentiment: "M5 5h14v10h-8l-4 4v-4H5z M9 9h6M9 12h4",
  sql: "M12 4c4 0 7 1 7 3s-3 3-7 3-7-1-7-3 3-3 7-3zM5 7v10c0 2 3 3 7 3s7-1 7-3V7M5 12c0 2 3 3 7 3s7-1 7-3",
  pipeline: "M3 12h4M17 12h4M7 8h4v8H7zM13 6h4v12h-4zM11 12h2",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v2M12 20v2M4 4l2 2M18 18l2 2M2 12h2M20 12h2M4 20l2-2M18 6l2-2",
  moon: "M20 14A8 8 0 0 1 10 4a8 8 0 1 0 10 10z",
  key: "M8 11.5a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM11 12.5L20 4M16.5 7.5l2.5 2.5M13.5 10.5l2 2",
  help: "M9 9a3 3 0 1 1 4 3c-1 .5-1 1-1 2M12 18v0",
  book: "M5 4h9a4 4 0 0 1 4 4v12H8a3 3 0 0 1-3-3zM5 17a3 3 0 0 1 3-3h10",
  search: "M11 5a6 6 0 1 0 0 12 6 6 0 0 0 0-12zM16 16l4 4",
};

/** An icon by its name. */
export function icon(name) {
  return svg("svg", { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true" }, svg("path", { d: ICONS[name] }));
}

/** The number of decimals that show the difference between the prices, two at least and eight at most. */
export function decimalsOf(prices) {
  let decimals = 2;
  for (const price of prices) {
    const text = String(price);
    const digits = text.includes("e-") ? 8 : (text.split(".")[1]?.length ?? 0);
    decimals = Math.max(decimals, Math.min(8, digits));
    // Means have as many digits as a double holds; six significant ones say enough.
    if (digits > 8) decimals = Math.max(2, 5 - Math.floor(Math.log10(Math.abs(price) || 1)));
  }
  return Math.min(8, decimals);
}

/** A price, with `decimals`, or as many as its size calls for. */
export function price(value, decimals) {
  if (value == null) return "–";
  const size = Math.abs(value);
  const digits = decimals ?? (size >= 1000 || size === 0 ? 2 : size >= 1 ? 4 : Math.min(10, 3 - Math.floor(Math.log10(size))));
  return value.toLocaleString("en-US", { minimumFractionDigits: Math.min(2, digits), maximumFractionDigits: digits });
}

const COMPACT = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 });

/** A count or a volume: 12,345 and then 1.2M. */
export function amount(value) {
  if (value == null) return "–";
  if (Math.abs(value) >= 100_000) return COMPACT.format(value);
  return value.toLocaleString("en-US", { maximumFractionDigits: Math.abs(value) < 10 ? 4 : Math.abs(value) < 1000 ? 2 : 0 });
}

/** A number with a sign and so many decimals. */
export function signed(value, decimals = 2, unit = "") {
  if (value == null || Number.isNaN(value)) return "–";
  const text = Math.abs(value).toFixed(decimals) + unit;
  // What rounds to nothing has no sign.
  const sign = Number.parseFloat(text) === 0 ? "" : value < 0 ? "−" : "+";
  return sign + text;
}

/** `up`, `down` or nothing, for the class of what has a sign. */
export const direction = (value) => (value > 0 ? "up" : value < 0 ? "down" : "");

const pad = (value, length = 2) => String(value).padStart(length, "0");

/** A moment in UTC: date and time, or the time alone with milliseconds. */
export function moment(value, form = "full") {
  if (value == null) return "–";
  const date = new Date(value);
  const day = `${date.getUTCFullYear()}-${pad(date.getUTCMonth() + 1)}-${pad(date.getUTCDate())}`;
  const time = `${pad(date.getUTCHours())}:${pad(date.getUTCMinutes())}:${pad(date.getUTCSeconds())}`;
  if (form === "day") return day;
  if (form === "time") return `${time}.${pad(date.getUTCMilliseconds(), 3)}`;
  if (form === "minute") return `${day} ${time.slice(0, 5)}`;
  return `${day} ${time}`;
}

/** How long ago or how long: 3 s, 12 min, 5 h, 4 d. */
export function span(milliseconds) {
  if (milliseconds == null || Number.isNaN(milliseconds)) return "–";
  const seconds = Math.max(0, milliseconds / 1000);
  if (seconds < 1) return `${Math.round(milliseconds)} ms`;
  if (seconds < 90) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 129_600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400).toLocaleString("en-US")} d`;
}

/** Calls `action` once after `delay` ms without another call. */
export function debounce(action, delay) {
  let timer;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => action(...values), delay);
  };
}

/** A panel with a title; what else stands in its head follows the title. */
export function panel(title, head, ...body) {
  return h("section.panel", { "aria-label": title }, h("header", null, h("h2", null, title), head), ...body);
}

/** What stands where there is nothing to show. */
export const nothing = (text) => h("p.nothing", null, text);

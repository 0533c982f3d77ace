// SPDX-License-Identifier: Apache-2.0
// The frame around the pages: which one is open, colours, the key, and what the keyboard does.

import { events, get, key, poll } from "./api.js";
import { h, icon } from "./dom.js";

const PAGES = [
  { name: "market", title: "Market" },
  { name: "forecast", title: "Forecast" },
  { name: "sentiment", title: "Sentiment" },
  { name: "sql", title: "SQL" },
  { name: "pipeline", title: "Pipeline" },
];

const main = document.getElementById("page");
let open = null;
let turn = 0;

// Which page

/** The page's name and its parameters, as the address has them: `#/market?symbol=AAPL`. */
function place() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const name = PAGES.some((page) => page.name === path) ? path : "market";
  return { name, parameters: new URLSearchParams(query) };
}

async function show() {
  const { name, parameters } = place();
  const mine = ++turn;
  open?.close?.();
  open = null;
  const page = PAGES.find((each) => each.name === name);
  document.title = `${page.title} · Tapedeck`;
  for (const tab of document.querySelectorAll("#tabs a")) {
    if (tab.dataset.page === name) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  }
  main.replaceChildren();
  main.className = name;
  try {
    const module = await import(`./pages/${name}.js`);
    if (mine !== turn) return;
    const opened = await module.open(main, parameters, {
      // The address says what is shown, so that it can be kept and sent; the page has already changed. A page that is
      // still loading when another is wanted must not take the address back.
      remember: (changed) => {
        if (mine !== turn || place().name !== name) return;
        const text = new URLSearchParams(Object.entries(changed).filter(([, value]) => value != null && value !== ""));
        history.replaceState(null, "", `#/${name}?${text}`);
      },
    });
    if (mine === turn) open = opened;
    else opened?.close?.();
  } catch (error) {
    if (mine === turn) main.replaceChildren(h("section.panel.failure", { role: "alert" }, h("h2", null, "This page cannot be shown"),
      h("pre", null, error.text ?? error.message), h("button", { onclick: show }, "Try again")));
  }
}

// Colours

const THEME = "tapedeck.theme";
const THEMES = { auto: "dark", dark: "light", light: "auto" };

function applyTheme() {
  const theme = localStorage.getItem(THEME) ?? "auto";
  document.documentElement.dataset.theme = theme;
  const dark = theme === "dark" || theme === "auto" && matchMedia("(prefers-color-scheme: dark)").matches;
  themeButton.replaceChildren(icon(dark ? "moon" : "sun"));
  themeButton.title = `Colours: ${theme} (t)`;
  themeButton.setAttribute("aria-label", themeButton.title);
  window.dispatchEvent(new Event("coloursChanged"));
}

function changeTheme() {
  localStorage.setItem(THEME, THEMES[localStorage.getItem(THEME) ?? "auto"]);
  applyTheme();
}

const themeButton = h("button.tool", { onclick: changeTheme });

// The key

const keyField = h("input", {
  type: "password", name: "key", autocomplete: "off", spellcheck: false, placeholder: "tdk_…", "aria-label": "API key",
});
const keyReason = h("p.reason");
const keyDialog = h("dialog", { "aria-label": "API key" },
  h("form", { method: "dialog", onsubmit: takeKey },
    h("h2", null, "API key"),
    keyReason,
    keyField,
    h("p.hint", null, "It is kept for this tab alone, until it is closed. ", h("code", null, "tapedeck keys create"), " makes one."),
    h("div.row", null, h("button.main", { type: "submit", value: "use" }, "Use this key"),
      h("button", { type: "submit", value: "forget" }, "Forget it"),
      h("button", { type: "button", onclick: () => keyDialog.close() }, "Cancel"))));

function takeKey(event) {
  key.set(event.submitter?.value === "forget" ? null : keyField.value.trim());
  keyField.value = "";
  keyButton.classList.toggle("set", Boolean(key.get()));
  show();
}

function askForKey(reason) {
  keyReason.textContent = reason ?? (key.get() ? "A key is in use." : "No key is in use.");
  if (!keyDialog.open) keyDialog.showModal();
}

const keyButton = h("button.tool", { title: "API key (k)", "aria-label": "API key", onclick: () => askForKey() }, icon("key"));
keyButton.classList.toggle("set", Boolean(key.get()));
events.addEventListener("refused", ({ detail }) => askForKey(detail.text));

// Help

const SHORTCUTS = [
  ["1 … 5", "Market, Forecast, Sentiment, SQL, Pipeline"],
  ["/", "search for a symbol"],
  ["[  ]", "narrower, wider bars"],
  ["t", "colours: as the system, dark, light"],
  ["k", "API key"],
  ["?", "this list"],
  ["Ctrl Enter", "SQL: run the selection, or the statement at the cursor"],
  ["Ctrl Space", "SQL: complete"],
  ["Ctrl S", "SQL: keep the statement"],
  ["Esc", "SQL: cancel what runs"],
];
const notice = h("p.hint", null,
  "Candlesticks: TradingView Lightweight Charts™, Copyright (c) 2026 TradingView, Inc., ",
  h("a", { href: "https://www.tradingview.com/", rel: "noopener noreferrer", target: "_blank" }, "www.tradingview.com"),
  ". Other charts: Apache ECharts. Editor: Ace. ",
  h("a", { href: "/console/lib/NOTICE.txt" }, "Licences"), ".");
const helpDialog = h("dialog", { "aria-label": "Help" }, h("h2", null, "Keyboard"),
  h("dl.shortcuts", null, SHORTCUTS.map(([keys, what]) => [h("dt", null, h("kbd", null, keys)), h("dd", null, what)])),
  notice, h("form", { method: "dialog" }, h("button.main", null, "Close")));
const helpButton = h("button.tool.wide-only", { title: "Keyboard and licences (?)", "aria-label": "Help", onclick: () => helpDialog.showModal() }, icon("help"));

// The keyboard

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, dialog, [contenteditable]")) return;
  const page = PAGES[Number(event.key) - 1];
  if (page) location.hash = `#/${page.name}`;
  else if (event.key === "t") changeTheme();
  else if (event.key === "k") askForKey();
  else if (event.key === "?") helpDialog.showModal();
  else if (!open?.press?.(event.key)) return;
  event.preventDefault();
});

// The server's state

const dot = h("span.dot", { title: "The server" });
const state = h("span.server.wide-only", null, dot, h("span", null, ""));
poll(async (signal) => {
  let health;
  try { health = await get("/health", null, signal); } catch (error) { health = { status: error.message }; }
  dot.classList.toggle("live", health.status === "ok");
  state.lastChild.textContent = health.status === "ok" ? `v${health.version}` : health.status;
  state.title = health.status === "ok" ? "Server and database answer" : health.status;
}, 10_000);

document.getElementById("tabs").append(...PAGES.map(({ name, title }) =>
  h("a", { href: `#/${name}`, "data-page": name }, icon(name), h("span", null, title))));
document.getElementById("tools").append(state,
  h("a.tool.wide-only", { href: "/docs", title: "The HTTP interface", "aria-label": "The HTTP interface" }, icon("book")),
  helpButton, keyButton, themeButton);
document.body.append(keyDialog, helpDialog);
window.addEventListener("hashchange", show);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", applyTheme);
applyTheme();
show();

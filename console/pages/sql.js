// SPDX-License-Identifier: Apache-2.0
// SQL: an editor that knows the catalogue, results that stream into a grid, charts of them, what ran and what runs.

import { APIError, get, key, poll, query, request } from "../api.js";
import { axis, Chart, tip } from "../charts.js";
import { amount, h, moment, nothing, span } from "../dom.js";
import { sqlEditor } from "../editor.js";
import { cellText, Grid, isNumeric } from "../grid.js";
import { Result } from "../result.js";

const KEPT = { text: "tapedeck.sql.text", saved: "tapedeck.sql.saved", history: "tapedeck.sql.history" };
const HISTORY = 100;
const CHART_ROWS = 100_000;
const SAMPLE = `-- Ctrl Enter runs the selection, or the statement at the cursor.
select symbol, count(*) as trades, min(price), max(price), vwap(price, size)
from trades
group by symbol
order by trades desc;

select ts, open, high, low, close, volume
from bars
where symbol = (select symbol from latest order by ts desc limit 1) and timeframe = '1m'
order by ts desc
limit 500;
`;
const FUNCTIONS = `select proname as name, pg_get_function_arguments(oid) as arguments, obj_description(oid, 'pg_proc') as comment
from pg_proc where pronamespace = 'tapedeck_sql'::regnamespace order by 1`;

const kept = (name, otherwise) => {
  try { return JSON.parse(localStorage.getItem(KEPT[name])) ?? otherwise; } catch { return otherwise; }
};
const keep = (name, value) => localStorage.setItem(KEPT[name], JSON.stringify(value));

/** A row of buttons of which one is chosen; each opens its element. */
function tabs(label, parts, chosen = 0) {
  const buttons = parts.map(([name], index) => h("button", { role: "tab", onclick: () => choose(index) }, name));
  function choose(index) {
    parts.forEach(([, element, opened], each) => {
      buttons[each].setAttribute("aria-selected", String(each === index));
      element.hidden = each !== index;
      if (each === index) opened?.();
    });
  }
  choose(chosen);
  return { element: h("div.choice", { role: "tablist", "aria-label": label }, buttons), choose };
}

export async function open(root, parameters) {
  const [{ tables }, functions] = await Promise.all([get("/api/v1/tables"), query(FUNCTIONS).catch(() => [])]);
  const result = { current: null };
  let running = null;

  // The parts of the page

  const runButton = h("button.main", { title: "Ctrl Enter", onclick: run }, "Run");
  const cancelButton = h("button", { title: "Esc", onclick: cancel, disabled: true }, "Cancel");
  const timeout = h("input.short", { type: "number", min: 1, max: 86_400, placeholder: "60", "aria-label": "Time-out in seconds", title: "Seconds after which the statement is ended; the server has a limit of its own" });
  const limit = h("input.short", { type: "number", min: 1, value: 1_000_000, "aria-label": "Most rows", title: "Rows after which the result is cut off" });
  const name = h("input.name", { placeholder: "Name to keep it by", "aria-label": "Name of the statement", autocomplete: "off", onkeydown: (event) => event.key === "Enter" && save() });
  const said = h("span.said", { role: "status" }, "");
  const problem = h("pre.problem", { role: "alert", hidden: true });
  const place = h("div.editor");
  const grid = new Grid();
  const empty = nothing("Run a statement: its rows stream in here.");
  const rows = h("div.fill", null, grid.element, empty);
  grid.element.hidden = true;
  const charting = h("div.fill.chart-of-result");
  const queries = h("div.fill.scroll");
  const view = tabs("Result", [["Rows", rows], ["Chart", charting, () => draw()], ["Running", queries, () => showRunning()]]);
  const csv = h("button.quiet", { onclick: () => download("csv") }, "CSV");
  const ndjson = h("button.quiet", { onclick: () => download("ndjson") }, "NDJSON");

  const catalogueList = h("div.scroll.catalogue");
  const savedList = h("ul.scroll.kept");
  const historyList = h("ul.scroll.kept");
  const side = tabs("Catalogue", [["Tables", catalogueList], ["Saved", savedList, showSaved], ["History", historyList, showHistory]]);

  root.append(h("div.sql-grid", null,
    h("aside.panel.side", { "aria-label": "Catalogue" }, h("header", null, side.element), catalogueList, savedList, historyList),
    h("section.panel.editing", { "aria-label": "Statement" },
      h("header", null,
        h("div.row", null, runButton, cancelButton, h("label.inline", null, "Time-out", timeout, "s"), h("label.inline", null, "Rows", limit)),
        h("div.row", null, name, h("button", { title: "Ctrl S", onclick: save }, "Save"))),
      place, problem),
    h("section.panel.results", { "aria-label": "Result" },
      h("header", null, view.element, said, h("div.row", null, h("small", null, "Download"), csv, ndjson)), rows, charting, queries)));

  const editor = await sqlEditor(place, parameters.get("query") ?? kept("text", SAMPLE), {
    catalogue: { tables, functions },
    changed: (text) => keep("text", text),
    commands: [["run", "Ctrl-Enter", run], ["save", "Ctrl-S", () => (name.value.trim() ? save() : name.focus())]],
  });

  // Running

  function fail(error, start) {
    problem.hidden = false;
    problem.textContent = error.text ?? error.message;
    said.textContent = "failed";
    if (error.position) editor.fault(start + [...editor.text.slice(start)].slice(0, error.position - 1).join("").length, error.message);
  }

  async function run() {
    const { text, start } = editor.chosen();
    if (!text.trim()) return;
    cancel();
    const mine = new AbortController();
    running = mine;
    const begun = performance.now();
    const fresh = new Result();
    let response = null;
    let failure = null;
    problem.hidden = true;
    editor.clear();
    runButton.disabled = true;
    cancelButton.disabled = false;
    said.textContent = "running";
    grid.element.dataset.state = "running";
    view.choose(0);
    const drawing = setInterval(() => {
      if (fresh.count) said.textContent = `${fresh.count.toLocaleString("en-US")} rows so far`;
      else said.textContent = `running, ${span(performance.now() - begun)}`;
      if (result.current === fresh) grid.grow();
    }, 100);
    try {
      const parameters = { timeout_ms: timeout.value ? Math.round(timeout.value * 1000) : null, limit: limit.value ? Number(limit.value) : null };
      response = await request("/api/v1/sql", { method: "POST", body: { query: text, format: "json", ...parameters }, signal: mine.signal });
      empty.hidden = true;
      grid.element.hidden = false;
      result.current = fresh;
      result.text = text;
      grid.show(fresh);
      await fresh.read(response, () => {});
      said.textContent = `${fresh.count.toLocaleString("en-US")} row${fresh.count === 1 ? "" : "s"}${fresh.end.truncated ? " (there are more)" : ""}, `
        + `${amount(fresh.bytes)} bytes, ${span(fresh.end.elapsed_ms)} on the server, ${span(performance.now() - begun)} in all`;
    } catch (error) {
      failure = error;
      if (mine.signal.aborted) said.textContent = `cancelled after ${span(performance.now() - begun)}`;
      else if (error instanceof APIError) fail(error, start);
      else fail(new Error(response ? `The result was broken off after ${fresh.count.toLocaleString("en-US")} rows: ${error.message}` : error.message), start);
    } finally {
      clearInterval(drawing);
      if (running === mine) {
        running = null;
        runButton.disabled = false;
        cancelButton.disabled = true;
      }
      if (result.current === fresh) grid.settle();
      grid.element.dataset.state = failure ? "failed" : "done";
      remember({ text, at: Date.now(), ms: Math.round(performance.now() - begun), rows: fresh.count, failure: failure && (mine.signal.aborted ? "cancelled" : failure.message) });
    }
  }

  // Hanging up ends the statement in the database.
  function cancel() {
    running?.abort();
    running = null;
  }

  // What is kept

  function remember(entry) {
    keep("history", [entry, ...kept("history", []).filter((each) => each.text !== entry.text)].slice(0, HISTORY));
    if (!historyList.hidden) showHistory();
  }

  function save() {
    const text = editor.chosen().text;
    const called = name.value.trim();
    if (!called) return name.focus();
    keep("saved", [{ name: called, text }, ...kept("saved", []).filter((each) => each.name !== called)]);
    name.value = "";
    side.choose(1);
  }

  /** Puts a text under what is there, and selects it. */
  function bring(text) {
    const before = editor.text.trimEnd();
    if (before.includes(text)) editor.editor.find(text, { start: { row: 0, column: 0 } });
    else {
      editor.text = `${before}${before && !before.endsWith(";") ? ";" : ""}${before ? "\n\n" : ""}${text};\n`;
      editor.editor.find(text, { backwards: true });
    }
    editor.editor.focus();
  }

  function showSaved() {
    const all = kept("saved", []);
    savedList.replaceChildren(...(all.length ? all.map((each) => h("li", null,
      h("button.entry", { onclick: () => { bring(each.text); name.value = each.name; } }, h("strong", null, each.name), h("code", null, each.text.slice(0, 200))),
      h("button.quiet", { title: "Forget it", "aria-label": `Forget ${each.name}`, onclick: () => { keep("saved", all.filter((other) => other !== each)); showSaved(); } }, "×")))
      : [nothing("Statements that you save are kept in this browser.")]));
  }

  function showHistory() {
    const all = kept("history", []);
    historyList.replaceChildren(...(all.length ? all.map((each) => h("li", null,
      h("button.entry", { onclick: () => bring(each.text) },
        h("small", { className: each.failure ? "down" : "" }, `${moment(each.at)} · ${each.failure ?? `${each.rows.toLocaleString("en-US")} rows · ${span(each.ms)}`}`),
        h("code", null, each.text.slice(0, 200)))))
      : [nothing("What you have run stands here, in this browser.")]));
  }

  catalogueList.append(...tables.map((table) => h("details", null,
    h("summary", { title: table.comment ?? "" }, table.name,
      h("button.quiet", { title: "A statement that reads it", "aria-label": `Read ${table.name}`, onclick: (event) => { event.preventDefault(); bring(`select * from ${table.name} limit 1000`); } }, "↵")),
    h("p.hint", null, table.comment ?? ""),
    h("dl", null, table.columns.map((column) => [
      h("dt", null, h("button.column", { onclick: () => editor.insert(column.name), title: column.comment ?? "" }, column.name), table.key.includes(column.name) ? h("small", null, "key") : null),
      h("dd", null, column.type)])))));

  // Downloads

  async function download(format) {
    const text = result.text ?? editor.chosen().text;
    if (!text.trim()) return;
    const parameters = { query: text, format, limit: limit.value ? Number(limit.value) : null, timeout_ms: timeout.value ? Math.round(timeout.value * 1000) : null };
    const link = h("a", { download: `tapedeck.${format}` });
    const asked = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value != null));
    if (!key.get() && asked.toString().length < 4000) {
      // The browser writes it to the disk as it comes.
      link.href = `/api/v1/sql?${asked}`;
      link.click();
      return;
    }
    try {
      said.textContent = "downloading";
      const response = await request("/api/v1/sql", { method: "POST", body: parameters });
      link.href = URL.createObjectURL(await response.blob());
      link.click();
      URL.revokeObjectURL(link.href);
      said.textContent = "downloaded";
    } catch (error) { fail(error, 0); }
  }

  // The chart of a result

  let chart = null;
  const choice = {};
  function draw() {
    const { current } = result;
    if (!current?.columns.length || !current.count) return charting.replaceChildren(nothing("Run a statement: its columns can be drawn here."));
    const { columns } = current;
    const signature = columns.map((column) => column.name + column.type).join();
    if (choice.signature !== signature) {
      const first = columns.findIndex((column) => /^(timestamp|date)/.test(column.type));
      Object.assign(choice, { signature, x: Math.max(0, first), kind: first >= 0 ? "line" : "bar" });
      choice.ys = columns.flatMap((column, index) => (isNumeric(column.type) && index !== choice.x ? [index] : [])).slice(0, 1);
    }
    const redraw = (change) => { Object.assign(choice, change); draw(); };
    const controls = h("div.row.chart-controls", null,
      h("label.inline", null, "x", h("select", { "aria-label": "x axis", onchange: (event) => redraw({ x: Number(event.target.value) }) },
        columns.map((column, index) => h("option", { value: index, selected: index === choice.x }, column.name)))),
      h("span.muted", null, "y"),
      h("div.choice", { role: "group", "aria-label": "y axis" }, columns.map((column, index) => isNumeric(column.type) && index !== choice.x
        ? h("button", { "aria-pressed": String(choice.ys.includes(index)), onclick: () => redraw({ ys: choice.ys.includes(index) ? choice.ys.filter((each) => each !== index) : [...choice.ys, index] }) }, column.name)
        : null)),
      h("div.choice", { role: "group", "aria-label": "Kind" }, ["line", "bar", "scatter"].map((kind) =>
        h("button", { "aria-pressed": String(kind === choice.kind), onclick: () => redraw({ kind }) }, kind))));
    const canvas = h("div.fill");
    chart?.end();
    charting.replaceChildren(controls, canvas);
    const x = columns[choice.x];
    const isTime = /^(timestamp|date)/.test(x.type);
    const isNumber = isNumeric(x.type);
    const data = [];
    for (let index = 0; index < Math.min(current.count, CHART_ROWS); index++) data.push(current.row(index));
    // A line goes from left to right, whatever the order of the rows.
    if ((isTime || isNumber) && choice.kind !== "scatter") data.sort((a, b) => (a[choice.x] < b[choice.x] ? -1 : a[choice.x] > b[choice.x] ? 1 : 0));
    charting.dataset.points = data.length;
    chart = new Chart(canvas, `${choice.ys.map((index) => columns[index].name).join(", ")} by ${x.name}`);
    chart.show((ink) => {
      const shades = [ink.accent, ink.blue, ink.teal, ink.violet, ink.yellow, ink.up, ink.down];
      return {
        color: shades,
        legend: { textStyle: { color: ink.muted }, top: 0 },
        tooltip: tip(ink, (points) => [cellText(points[0].value[0] ?? points[0].name), ...points.map((point) => [point.seriesName, cellText(point.value[1])])]),
        xAxis: axis(ink, { type: isTime ? "time" : isNumber && choice.kind !== "bar" ? "value" : "category", scale: true }),
        yAxis: axis(ink, { type: "value", scale: choice.kind !== "bar" }),
        dataZoom: [{ type: "inside" }],
        series: choice.ys.map((index) => ({
          name: columns[index].name, type: choice.kind, showSymbol: data.length < 40, symbolSize: choice.kind === "scatter" ? 5 : 6,
          lineStyle: { width: 1.5 }, sampling: choice.kind === "line" ? "lttb" : undefined, large: choice.kind !== "line", connectNulls: false,
          data: data.map((row) => [row[choice.x], row[index]]),
        })),
      };
    });
  }

  // What runs on the server

  async function showRunning(signal) {
    if (queries.hidden) return;
    const { queries: all } = await get("/api/v1/queries", null, signal);
    queries.replaceChildren(all.length ? h("table", null,
      h("thead", null, h("tr", null, ["State", "By", "Client", "For", "Rows", "Statement", ""].map((text) => h("th", null, text)))),
      h("tbody", null, all.map((each) => h("tr", { "data-query": each.query_id },
        h("td", null, each.state), h("td", null, each.kind), h("td", null, each.user ?? each.key ?? each.client), h("td", null, span(each.elapsed_ms)),
        h("td", null, each.rows.toLocaleString("en-US")), h("td.wrap", null, h("code", null, each.query.slice(0, 400))),
        h("td", null, h("button.danger", { "aria-label": `End ${each.query_id}`, onclick: (event) => kill(each.query_id, event.currentTarget) }, "End")))))) : nothing("No statement runs or waits."));
  }

  async function kill(id, button) {
    button.disabled = true;
    // One that has just ended by itself has ended, too.
    try { await request(`/api/v1/queries/${encodeURIComponent(id)}`, { method: "DELETE" }); } catch (error) { if (error.status !== 404) fail(error, 0); }
    showRunning();
  }

  const polling = poll(showRunning, 1000);
  // The editor keeps the key to itself, so it is caught before; the list of completions goes first.
  const isCompleting = () => [...document.querySelectorAll(".ace_autocomplete")].some((list) => list.checkVisibility());
  const escape = (event) => { if (event.key === "Escape" && running && !isCompleting()) cancel(); };
  root.addEventListener("keydown", escape, true);
  if (!matchMedia("(max-width: 720px)").matches) editor.editor.focus();

  return {
    close() {
      cancel();
      polling();
      root.removeEventListener("keydown", escape, true);
      chart?.end();
      grid.end();
      editor.end();
    },
  };
}

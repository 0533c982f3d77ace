// SPDX-License-Identifier: Apache-2.0
// The editor of SQL: Ace with what the catalogue knows.

import { script, whenColoursChange } from "./charts.js";

const BASE = "/console/lib/ace";

/** Ace with its parts; styles come from files, as the page's policy wants them. */
async function ace() {
  await script("ace/ace.js");
  await Promise.all(["ext-language_tools", "mode-pgsql", "ext-searchbox", "snippets/pgsql"].map((part) => script(`ace/${part}.js`)));
  await Promise.all(["theme-github_dark", "theme-github_light_default"].map((part) => script(`ace/${part}.js`)));
  const library = window.ace;
  library.config.set("useStrictCSP", true);
  library.config.set("basePath", BASE);
  for (const file of ["ace", "theme/github_dark", "theme/github_light_default"]) {
    const href = `${BASE}/css/${file}.css`;
    if (document.head.querySelector(`link[href="${href}"]`)) continue;
    const link = document.createElement("link");
    Object.assign(link, { rel: "stylesheet", href });
    // Ours go last, so that they win.
    document.head.prepend(link);
    await new Promise((resume) => { link.onload = link.onerror = resume; });
  }
  return library;
}

/** The statements of a text: `[{start, end}]` in characters, without the semicolons between them. */
export function statements(text) {
  const found = [];
  let start = 0;
  // Strings, quoted names, dollar quotes and comments may hold semicolons.
  const token = /'(?:[^']|'')*(?:'|$)|"(?:[^"]|"")*(?:"|$)|--[^\n]*|\/\*[\s\S]*?(?:\*\/|$)|\$(\w*)\$[\s\S]*?(?:\$\1\$|$)|;/g;
  for (const match of text.matchAll(token)) {
    if (match[0] !== ";") continue;
    found.push({ start, end: match.index });
    start = match.index + 1;
  }
  found.push({ start, end: text.length });
  return found.map(({ start: from, end }) => {
    const blank = text.slice(from, end).match(/^\s*/)[0].length;
    return { start: Math.min(from + blank, end), end: from + text.slice(from, end).trimEnd().length };
  }).filter(({ start: from, end }) => end > from);
}

/** The tables that a statement names, by their names and aliases. */
function named(statement) {
  const found = new Map();
  const places = /\b(?:from|join)\s+(?:\w+\.)?(\w+)(?:\s+(?:as\s+)?(?!where\b|on\b|join\b|left\b|right\b|inner\b|cross\b|full\b|group\b|order\b|limit\b|using\b|having\b|union\b)(\w+))?/gi;
  for (const [, table, alias] of statement.matchAll(places)) {
    found.set(table.toLowerCase(), table.toLowerCase());
    if (alias) found.set(alias.toLowerCase(), table.toLowerCase());
  }
  return found;
}

/** Completes columns of the tables that the statement names first, then tables, functions and other columns. */
function completer(catalogue, statementAt) {
  const words = (columns, score, from) => columns.map((column) => ({
    value: column.name, score, meta: column.type, docText: [from, column.comment].filter(Boolean).join("\n"),
  }));
  return {
    id: "catalogue",
    getCompletions(editor, session, position, prefix, give) {
      const line = session.getLine(position.row).slice(0, position.column - prefix.length);
      const tables = new Map(catalogue.tables.map((table) => [table.name, table]));
      const inStatement = named(statementAt());
      const owner = line.match(/(\w+)\.$/)?.[1]?.toLowerCase();
      if (owner) {
        const table = tables.get(inStatement.get(owner) ?? owner);
        if (table) return give(null, words(table.columns, 1000, table.name));
        return give(null, catalogue.tables.map((each) => ({ value: each.name, score: 900, meta: "table", docText: each.comment })));
      }
      const found = catalogue.tables.map((each) => ({
        value: each.name, score: /\b(from|join)\s+$/i.test(line) ? 2000 : 700, meta: "table", docText: each.comment,
      }));
      const used = new Set(inStatement.values());
      const seen = new Set();
      for (const table of [...catalogue.tables].sort((a, b) => used.has(b.name) - used.has(a.name))) {
        const fresh = table.columns.filter((column) => !seen.has(column.name));
        for (const column of fresh) seen.add(column.name);
        found.push(...words(fresh, used.has(table.name) ? 900 : 300, table.name));
      }
      found.push(...catalogue.functions.map((each) => ({
        caption: each.name, value: `${each.name}(`, score: 500, meta: "function",
        docText: [`${each.name}(${each.arguments})`, each.comment].filter(Boolean).join("\n"),
      })));
      give(null, found);
    },
  };
}

/**
 * An editor in `element`: `text`, `chosen()` is the selection or the statement at the cursor with where it begins,
 * `fault(position, message)` underlines what stands there.
 */
export async function sqlEditor(element, text, { catalogue, changed, commands }) {
  const library = await ace();
  const tools = library.require("ace/ext/language_tools");
  const { Range } = library.require("ace/range");
  const editor = library.edit(element, {
    mode: "ace/mode/pgsql", value: text, fontSize: 13, showPrintMargin: false, tabSize: 2, useSoftTabs: true, useWorker: false,
    enableBasicAutocompletion: true, enableLiveAutocompletion: true, highlightActiveLine: true, wrap: true, scrollPastEnd: 0.3,
    // Escape leads out of the editor, where Tab writes; Enter leads in.
    enableKeyboardAccessibility: true,
    fontFamily: getComputedStyle(document.documentElement).getPropertyValue("--mono"),
  });
  const document_ = editor.session.getDocument();
  const place = (row, column) => document_.positionToIndex({ row, column }, 0);

  function chosen() {
    const selection = editor.getSelectionRange();
    if (!selection.isEmpty()) {
      const start = place(selection.start.row, selection.start.column);
      return { text: editor.getSelectedText(), start };
    }
    const cursor = editor.getCursorPosition();
    const at = place(cursor.row, cursor.column);
    const value = editor.getValue();
    const all = statements(value);
    const found = all.find(({ start, end }) => at >= start && at <= end + 1) ?? all.findLast(({ start }) => start <= at) ?? all[0];
    return found ? { text: value.slice(found.start, found.end), start: found.start } : { text: "", start: 0 };
  }

  const keywords = {
    ...tools.keyWordCompleter,
    // Behind a table's name there are columns only.
    getCompletions(each, session, position, prefix, give) {
      if (session.getLine(position.row)[position.column - prefix.length - 1] === ".") return give(null, []);
      tools.keyWordCompleter.getCompletions(each, session, position, prefix, give);
    },
  };
  editor.completers = [completer(catalogue, () => chosen().text), keywords];
  const paint = () => editor.setTheme(getComputedStyle(element).colorScheme === "dark" || isDark(element)
    ? "ace/theme/github_dark" : "ace/theme/github_light_default");
  paint();
  const forget = whenColoursChange(paint);

  let marker = null;
  function clear() {
    if (marker !== null) editor.session.removeMarker(marker);
    marker = null;
    editor.session.clearAnnotations();
  }
  editor.session.on("change", () => {
    clear();
    changed(editor.getValue());
  });
  for (const [name, win, run] of commands) editor.commands.addCommand({ name, bindKey: { win, mac: win.replace("Ctrl", "Command") }, exec: run });

  return {
    editor, chosen, clear,
    get text() { return editor.getValue(); },
    set text(value) { editor.setValue(value, 1); },
    insert: (value) => { editor.insert(value); editor.focus(); },
    fault(index, message) {
      clear();
      const from = document_.indexToPosition(index, 0);
      const word = editor.getValue().slice(index).match(/^("[^"]*"|'[^']*'|[\w.]+|\S)/)?.[0] ?? " ";
      const to = document_.indexToPosition(index + Math.max(1, word.length), 0);
      marker = editor.session.addMarker(new Range(from.row, from.column, to.row, to.column), "sql-fault", "text", true);
      editor.session.setAnnotations([{ row: from.row, column: from.column, text: message, type: "error" }]);
      editor.moveCursorTo(from.row, from.column);
      editor.clearSelection();
    },
    end() {
      forget();
      editor.destroy();
    },
  };
}

/** Whether the page is dark at this element. */
function isDark(element) {
  const [red, green, blue] = getComputedStyle(element.closest(".panel") ?? document.body).backgroundColor.match(/[\d.]+/g).map(Number);
  return red + green + blue < 384;
}

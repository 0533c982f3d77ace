// SPDX-License-Identifier: Apache-2.0
// A table of any number of rows, of which only those in sight are elements.

import { h } from "./dom.js";

const ROW = 26;
/** Browsers stop at some 17 million pixels; a taller table is scrolled by a scale. */
const TALLEST = 8_000_000;
const SAMPLE = 200;

const NUMERIC = /^(smallint|integer|bigint|real|double precision|numeric|oid)/;
export const isNumeric = (type) => NUMERIC.test(type);

/** The text of a value. */
export function cellText(value) {
  if (value === null) return "NULL";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

export class Grid {
  #result = null;
  #widths = [];
  #first = -1;
  #shown = 0;
  #sampled = 0;

  constructor() {
    this.head = h("div.grid-head", { role: "row" });
    this.rows = h("div.grid-rows");
    this.spacer = h("div.grid-spacer", null, this.rows);
    this.body = h("div.grid-body", {
      role: "grid", tabIndex: 0, "aria-label": "Rows", onscroll: () => this.#draw(), onkeydown: (event) => this.#press(event),
    }, this.head, this.spacer);
    this.element = h("div.grid", null, this.body);
    this.observer = new ResizeObserver(() => { this.#first = -1; this.#draw(); });
    this.observer.observe(this.body);
  }

  /** Shows a result from its beginning; `grow` tells of more rows of it. */
  show(result) {
    this.#result = result;
    this.#first = -1;
    this.#sampled = 0;
    this.body.scrollTop = this.body.scrollLeft = 0;
    this.head.replaceChildren();
    this.rows.replaceChildren();
    this.grow();
  }

  grow() {
    const result = this.#result;
    if (!result?.columns.length && !result?.count) return;
    if (this.#sampled === 0 || this.#sampled < SAMPLE && result.count > this.#sampled) this.#measure();
    const height = result.count * ROW;
    this.spacer.style.height = `${Math.min(height, TALLEST)}px`;
    this.body.setAttribute("aria-rowcount", result.count);
    if (this.#first < 0 || this.#first + this.#visible() > this.#shown) {
      this.#first = -1;
      this.#draw();
    }
  }

  /** The result is whole: its last values count for the widths, too. */
  settle() {
    if (!this.#result?.columns.length) return;
    this.#measure();
    this.grow();
  }

  #visible() { return Math.ceil(this.body.clientHeight / ROW) + 1; }

  /** Columns as wide as their first and last values. */
  #measure() {
    const { columns, count } = this.#result;
    this.#sampled = Math.max(1, Math.min(SAMPLE, count));
    const sample = Array.from({ length: Math.min(SAMPLE, count) }, (_, index) => index);
    for (let index = Math.max(SAMPLE, count - SAMPLE); index < count; index++) sample.push(index);
    const lengths = columns.map((column) => Math.max(column.name.length, column.type.length * 0.85) + 1);
    for (const index of sample) {
      this.#result.row(index).forEach((value, column) => {
        lengths[column] = Math.max(lengths[column], Math.min(48, cellText(value).length));
      });
    }
    this.#widths = lengths.map((length) => Math.round(length * 7.6 + 22));
    const ordinal = Math.max(48, count.toLocaleString("en-US").length * 7.2 + 20);
    this.element.style.setProperty("--ordinal", `${ordinal}px`);
    const width = this.#widths.reduce((sum, each) => sum + each, ordinal);
    this.spacer.style.width = this.head.style.width = `${width}px`;
    const style = (element, column) => { element.style.width = `${this.#widths[column]}px`; return element; };
    this.head.replaceChildren(h("div.cell.ordinal", null, "#"), ...columns.map((column, index) =>
      style(h("div.cell", { role: "columnheader", className: `cell${isNumeric(column.type) ? " number" : ""}`, title: column.type },
        h("strong", null, column.name), h("small", null, column.type)), index)));
    this.#first = -1;
  }

  #top() {
    const { count } = this.#result;
    const height = count * ROW;
    if (height <= TALLEST) return Math.floor(this.body.scrollTop / ROW);
    const reach = TALLEST - this.body.clientHeight + this.head.offsetHeight;
    return Math.floor((this.body.scrollTop / reach) * Math.max(0, count - this.#visible() + 2));
  }

  #draw() {
    const result = this.#result;
    if (!result?.columns.length) return;
    const first = Math.max(0, Math.min(this.#top(), result.count - 1));
    if (first === this.#first) return;
    this.#first = first;
    const last = Math.min(result.count, first + this.#visible());
    this.#shown = last;
    const made = [];
    for (let index = first; index < last; index++) {
      const values = result.row(index);
      made.push(h("div.grid-row", { role: "row", "aria-rowindex": String(index + 1) },
        h("div.cell.ordinal", null, (index + 1).toLocaleString("en-US")),
        values.map((value, column) => {
          const text = cellText(value);
          const cell = h("div", {
            role: "gridcell", title: text.length > 30 ? text.slice(0, 2000) : null,
            className: `cell${value === null ? " null" : ""}${isNumeric(result.columns[column].type) ? " number" : ""}`,
          }, text.slice(0, 300));
          cell.style.width = `${this.#widths[column]}px`;
          return cell;
        })));
    }
    this.rows.style.transform = `translateY(${Math.min(this.body.scrollTop, Math.max(0, TALLEST - (last - first) * ROW))}px)`;
    if (result.count * ROW <= TALLEST) this.rows.style.transform = `translateY(${first * ROW}px)`;
    this.rows.replaceChildren(...made);
  }

  /** Brings a row to the top. */
  go(index) {
    const { count } = this.#result;
    const height = count * ROW;
    if (height <= TALLEST) this.body.scrollTop = index * ROW;
    else {
      const reach = TALLEST - this.body.clientHeight + this.head.offsetHeight;
      this.body.scrollTop = Math.ceil((index / Math.max(1, count - this.#visible() + 2)) * reach);
    }
  }

  #press(event) {
    if (!this.#result?.count) return;
    const page = this.#visible() - 3;
    const to = {
      ArrowDown: this.#first + 1, ArrowUp: this.#first - 1, PageDown: this.#first + page, PageUp: this.#first - page,
      Home: 0, End: this.#result.count,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.go(Math.max(0, to));
  }

  end() { this.observer.disconnect(); }
}

// SPDX-License-Identifier: Apache-2.0
// A result of SQL while it streams in. Rows are kept as the text they came in, and read when somebody looks at them: a
// million of them cost their bytes, and nothing waits for them to be parsed.

const QUOTE = 34, BACKSLASH = 92, OPEN = 91, CLOSE = 93, BRACE = 123, UNBRACE = 125;
const ROWS = '"rows":[';

/** Reads `{"query_id","columns":[…],"rows":[…],"row_count","truncated","elapsed_ms"}` piece by piece. */
export class Result {
  columns = [];
  count = 0;
  bytes = 0;
  queryID = null;
  /** What stood behind the rows: `row_count`, `truncated`, `elapsed_ms`; null before the end. */
  end = null;
  /** Pieces of text with the places of their rows, and the number of the first. */
  #pieces = [];
  #rest = "";
  #place = "head";
  // How deep the scan is in arrays and objects, where it goes on in #rest, and where the row under way begins.
  #depth = 0;
  #inString = false;
  #at = 0;
  #start = -1;

  /** Takes the next text of the body. */
  feed(text) {
    this.bytes += text.length;
    this.#rest += text;
    if (this.#place === "head") this.#readHead();
    if (this.#place === "rows") this.#readRows();
  }

  /** The body has ended; throws if it ended too early. */
  finish() {
    if (this.#place !== "tail") throw new Error("the result was broken off");
    // `],"row_count":…}`
    this.end = JSON.parse(`{${this.#rest.slice(this.#rest.indexOf(",") + 1)}`);
    this.#rest = "";
  }

  #readHead() {
    // Within a name the quotes would be escaped, so this is not found in one.
    const found = this.#rest.indexOf(ROWS);
    if (found < 0) return;
    const head = JSON.parse(`${this.#rest.slice(0, found + ROWS.length)}]}`);
    this.columns = head.columns;
    this.queryID = head.query_id;
    this.#rest = this.#rest.slice(found + ROWS.length);
    this.#place = "rows";
  }

  #readRows() {
    const text = this.#rest;
    const starts = [];
    const ends = [];
    let { length } = text;
    let at = this.#at;
    for (; at < length; at++) {
      const code = text.charCodeAt(at);
      if (this.#inString) {
        if (code === BACKSLASH) at++;
        else if (code === QUOTE) this.#inString = false;
      } else if (code === QUOTE) this.#inString = true;
      else if (code === OPEN || code === BRACE) {
        if (this.#depth++ === 0) this.#start = at;
      } else if (code === CLOSE || code === UNBRACE) {
        if (this.#depth === 0) {
          this.#place = "tail";
          length = at;
          break;
        }
        if (--this.#depth === 0) {
          starts.push(this.#start);
          ends.push(at + 1);
        }
      }
    }
    const last = ends.length ? ends[ends.length - 1] : 0;
    if (ends.length) {
      this.#pieces.push({ first: this.count, text: text.slice(0, last), starts: Uint32Array.from(starts), ends: Uint32Array.from(ends) });
      this.count += ends.length;
    }
    this.#rest = text.slice(this.#place === "tail" ? length : last);
    // A backslash may have skipped what has not come yet: `at` then stands behind the end.
    this.#at = this.#place === "tail" ? 0 : at - last;
    this.#start -= last;
  }

  /** The values of a row. */
  row(index) {
    let low = 0;
    let high = this.#pieces.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#pieces[middle].first <= index) low = middle;
      else high = middle - 1;
    }
    const piece = this.#pieces[low];
    const place = index - piece.first;
    return JSON.parse(piece.text.slice(piece.starts[place], piece.ends[place]));
  }

  /** Takes the body of a response to its end, and tells of each piece by `grown`. */
  async read(response, grown) {
    const decoder = new TextDecoder();
    const reader = response.body.getReader();
    let rested = performance.now();
    while (true) {
      const { done, value } = await reader.read();
      if (done) break;
      this.feed(decoder.decode(value, { stream: true }));
      grown();
      // Pieces that are there already come without a break; the page must be drawn, and keys heard, all the same.
      if (performance.now() - rested > 12) {
        await new Promise((resume) => setTimeout(resume));
        rested = performance.now();
      }
    }
    this.finish();
  }
}

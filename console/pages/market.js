// SPDX-License-Identifier: Apache-2.0
// Market: the candles of one symbol as they come, indicators, sentiment below, the last trades, and who else trades.

import { follow, get, poll } from "../api.js";
import { candles, colours, fade, FONT, whenColoursChange } from "../charts.js";
import { amount, debounce, decimalsOf, direction, h, icon, moment, nothing, panel, price, signed } from "../dom.js";

const TIMEFRAMES = ["1s", "5s", "15s", "1m", "5m", "15m", "1h", "1d"];
const PAGE = 500;
const TRADES = 60;

/** Lines over the price, and panes below it; `values` are columns of /api/v1/indicators with their colours. */
const INDICATORS = [
  { name: "SMA 20", values: [["sma_20", "blue"]] },
  { name: "SMA 50", values: [["sma_50", "violet"]] },
  { name: "EMA 12", values: [["ema_12", "teal"]] },
  { name: "EMA 26", values: [["ema_26", "yellow"]] },
  { name: "Bollinger", values: [["bollinger_upper", "muted"], ["bollinger_lower", "muted"]] },
  { name: "RSI", pane: true, values: [["rsi_14", "violet"]], marks: [30, 70] },
  { name: "MACD", pane: true, values: [["macd", "blue"], ["macd_signal", "accent"]], marks: [0] },
  { name: "Volatility", pane: true, values: [["volatility_20", "teal"]] },
];
const CHOSEN = "tapedeck.indicators";
/** What was looked at last, which other pages begin with. */
const LAST = "tapedeck.symbol";

const seconds = (ms) => Math.floor(ms / 1000);

/** The chart: it holds the bars of one symbol and timeframe. */
class CandleChart {
  bars = [];
  #indicators = new Map();
  #sentiment = [];
  #lines = [];
  #decimals = 2;

  constructor(library, element, chosen, handlers) {
    this.library = library;
    this.element = element;
    this.chosen = chosen;
    this.handlers = handlers;
    // The logo brings styles of its own, which the page's policy refuses; the notice stands in the help.
    this.chart = library.createChart(element, { autoSize: true, layout: { attributionLogo: false } });
    this.candles = this.chart.addSeries(library.CandlestickSeries, { priceLineVisible: true });
    this.volume = this.chart.addSeries(library.HistogramSeries, {
      priceScaleId: "volume", priceFormat: { type: "volume" }, lastValueVisible: false, priceLineVisible: false,
    });
    this.chart.priceScale("volume").applyOptions({ scaleMargins: { top: 0.82, bottom: 0 } });
    this.chart.priceScale("right").applyOptions({ scaleMargins: { top: 0.08, bottom: 0.2 } });
    this.chart.subscribeCrosshairMove((at) => handlers.hover(at.time ? this.barAt(at.time) : this.bars.at(-1)));
    this.chart.timeScale().subscribeVisibleLogicalRangeChange((range) => {
      if (range && range.from < 40 && this.bars.length) handlers.wantOlder();
    });
    this.paint();
  }

  paint() {
    this.ink = colours();
    const { text, muted, line, up, down, panel } = this.ink;
    this.chart.applyOptions({
      layout: {
        background: { type: "solid", color: "transparent" }, textColor: muted, fontFamily: FONT, fontSize: 11,
        panes: { separatorColor: line, separatorHoverColor: fade(line, 0.8) },
      },
      grid: { vertLines: { color: fade(line, 0.5) }, horzLines: { color: fade(line, 0.5) } },
      rightPriceScale: { borderColor: line },
      timeScale: { borderColor: line, timeVisible: true, secondsVisible: this.timeframe?.endsWith("s") ?? false, rightOffset: 4 },
      crosshair: { mode: 0, vertLine: { color: muted, labelBackgroundColor: muted }, horzLine: { color: muted, labelBackgroundColor: muted } },
    });
    this.candles.applyOptions({ upColor: up, downColor: down, wickUpColor: up, wickDownColor: down, borderVisible: false, priceLineColor: text });
    this.panel = panel;
    if (this.bars.length) this.#showBars();
    this.#drawLines();
  }

  barAt(time) {
    let low = 0;
    let high = this.bars.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const found = seconds(this.bars[middle].ts);
      if (found === time) return this.bars[middle];
      if (found < time) low = middle + 1;
      else high = middle - 1;
    }
    return null;
  }

  begin(timeframe, bars) {
    this.timeframe = timeframe;
    this.bars = bars;
    this.#indicators.clear();
    this.#sentiment = [];
    this.#decimals = decimalsOf(bars.slice(-200).flatMap((bar) => [bar.open, bar.close]));
    this.candles.applyOptions({ priceFormat: { type: "price", precision: this.#decimals, minMove: 10 ** -this.#decimals } });
    this.chart.timeScale().applyOptions({ secondsVisible: timeframe.endsWith("s"), timeVisible: timeframe !== "1d" });
    this.#showBars();
    this.#drawLines();
    const count = bars.length;
    this.chart.timeScale().setVisibleLogicalRange({ from: Math.max(-5, count - Math.max(50, this.element.clientWidth / 6)), to: count + 3 });
  }

  get decimals() { return this.#decimals; }

  #candle = (bar) => ({ time: seconds(bar.ts), open: bar.open, high: bar.high, low: bar.low, close: bar.close });
  #column = (bar) => ({ time: seconds(bar.ts), value: bar.volume, color: fade(bar.close >= bar.open ? this.ink.up : this.ink.down, 0.45) });

  #showBars() {
    this.candles.setData(this.bars.map(this.#candle));
    this.volume.setData(this.bars.map(this.#column));
  }

  prepend(older) {
    this.bars = [...older, ...this.bars];
    this.#showBars();
  }

  /** Takes a bar of the stream: the newest, the next, or one that a late trade has changed. */
  take(bar) {
    const last = this.bars.at(-1);
    if (last && bar.ts < last.ts) {
      const index = this.bars.findIndex((each) => each.ts >= bar.ts);
      this.bars.splice(Math.max(0, index), this.bars[index]?.ts === bar.ts ? 1 : 0, bar);
      return this.#showBars();
    }
    if (last?.ts === bar.ts) this.bars[this.bars.length - 1] = bar;
    else this.bars.push(bar);
    this.candles.update(this.#candle(bar));
    this.volume.update(this.#column(bar));
  }

  takeIndicators(rows) {
    for (const row of rows) this.#indicators.set(row.ts, row);
    this.#drawLines();
  }

  /** Sentiment by bars of its own, which need not begin when those of the price do: each counts for the bar it falls into. */
  takeSentiment(rows) {
    this.#sentiment = rows;
    this.#drawLines();
  }

  choose(chosen) {
    this.chosen = chosen;
    this.#drawLines();
  }

  #drawLines() {
    for (const series of this.#lines) this.chart.removeSeries(series);
    this.#lines = [];
    if (!this.bars.length) return;
    let pane = 1;
    for (const indicator of INDICATORS.filter((each) => this.chosen.has(each.name))) {
      const where = indicator.pane ? pane++ : 0;
      indicator.values.forEach(([column, colour], index) => {
        const series = this.chart.addSeries(this.library.LineSeries, {
          color: this.ink[colour], lineWidth: indicator.pane ? 1.5 : 1.25, priceLineVisible: false, crosshairMarkerVisible: false,
          lastValueVisible: Boolean(indicator.pane), title: indicator.pane && index === 0 ? indicator.name : "",
          priceFormat: indicator.pane
            ? { type: "price", precision: indicator.name === "RSI" ? 1 : 4, minMove: indicator.name === "RSI" ? 0.1 : 0.0001 }
            : { type: "price", precision: this.#decimals, minMove: 10 ** -this.#decimals },
        }, where);
        series.setData(this.bars.flatMap((bar) => {
          const value = this.#indicators.get(bar.ts)?.[column];
          return value == null ? [] : [{ time: seconds(bar.ts), value }];
        }));
        if (index === 0) {
          for (const mark of indicator.marks ?? []) {
            series.createPriceLine({ price: mark, color: this.ink.muted, lineWidth: 1, lineStyle: 2, axisLabelVisible: false });
          }
        }
        this.#lines.push(series);
      });
    }
    if (this.#sentiment.length) this.#drawSentiment(pane++);
    this.chart.panes().forEach((each, index) => each.setStretchFactor(index === 0 ? 4 : 1));
  }

  #drawSentiment(pane) {
    const sums = new Map();
    let index = 0;
    for (const row of this.#sentiment) {
      while (index + 1 < this.bars.length && this.bars[index + 1].ts <= row.ts) index++;
      const bar = this.bars[index];
      if (bar.ts > row.ts) continue;
      const sum = sums.get(bar.ts) ?? { posts: 0, total: 0 };
      sum.posts += row.post_count;
      sum.total += row.post_count * row.mean_sentiment;
      sums.set(bar.ts, sum);
    }
    const series = this.chart.addSeries(this.library.HistogramSeries, {
      priceLineVisible: false, title: "Sentiment", base: 0, priceFormat: { type: "price", precision: 2, minMove: 0.01 },
    }, pane);
    series.setData([...sums].map(([ts, { posts, total }]) => {
      const mean = total / posts;
      return { time: seconds(ts), value: mean, color: fade(mean >= 0 ? this.ink.up : this.ink.down, 0.8) };
    }));
    this.#lines.push(series);
  }

  end() { this.chart.remove(); }
}

/** The list of symbols with their last prices, and the search in it. */
function symbolList(select) {
  const field = h("input", {
    type: "search", placeholder: "Symbol or company", "aria-label": "Search for a symbol", autocomplete: "off", spellcheck: false,
    id: "symbol-search", oninput: debounce(search, 150), onkeydown: walk,
  });
  const list = h("ul.symbols", { role: "listbox", "aria-label": "Symbols" });
  let rows = [];
  let chosen = null;
  let opens = new Map();

  function row(each) {
    const open = opens.get(each.symbol);
    const change = open ? (each.price / open - 1) * 100 : null;
    return h("li", {
      role: "option", "data-symbol": each.symbol, tabIndex: -1, "aria-selected": String(each.symbol === chosen),
      onclick: () => select(each.symbol),
    },
    h("span.name", null, each.symbol, h("small", null, each.name ?? (each.ts ? moment(each.ts, "minute") : "has not traded"))),
    h("span.value", null, price(each.price), h("small", { className: direction(change) }, change == null ? "" : signed(change, 2, " %"))));
  }

  function show() {
    const top = list.scrollTop;
    list.replaceChildren(...(rows.length ? rows.map(row) : [h("li.nothing", null, "Nothing is called so")]));
    list.scrollTop = top;
  }

  async function search() {
    const text = field.value.trim();
    if (!text) return refresh();
    const { symbols } = await get("/api/v1/symbols", { search: text, limit: 100, time: "ms" });
    const order = (each) => [each.last_ts == null, !each.symbol.toLowerCase().startsWith(text.toLowerCase()), each.symbol].join();
    rows = symbols.map((each) => ({ symbol: each.symbol, name: each.name, price: each.last_price, ts: each.last_ts }))
      .sort((a, b) => (order(a) < order(b) ? -1 : 1));
    show();
  }

  async function refresh(signal) {
    if (field.value.trim()) return;
    const [{ latest }, { bars }] = await Promise.all([
      get("/api/v1/latest", { limit: 2000, time: "ms" }, signal),
      get("/api/v1/bars", { timeframe: "1d", from: "now-1d", limit: 5000, time: "ms" }, signal),
    ]);
    if (field.value.trim()) return;
    opens = new Map();
    for (const bar of bars) opens.set(bar.symbol, bar.open);
    rows = latest.sort((a, b) => b.ts - a.ts).slice(0, 300).sort((a, b) => (a.symbol < b.symbol ? -1 : 1));
    if (!list.matches(":focus-within")) show();
    return rows;
  }

  function walk(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape") { field.value = ""; refresh(); field.blur(); }
    if (event.key === "Enter" && rows.length) select(rows[Math.max(0, rows.findIndex((each) => each.symbol === chosen))].symbol);
    if (!step || !rows.length) return;
    event.preventDefault();
    const index = rows.findIndex((each) => each.symbol === chosen);
    select(rows[(index + step + rows.length) % rows.length].symbol);
  }

  return {
    element: h("aside.watch.panel", { "aria-label": "Symbols" }, h("label.search", null, icon("search"), field), list),
    field, refresh,
    choose(symbol) {
      chosen = symbol;
      for (const item of list.children) item.setAttribute("aria-selected", String(item.dataset.symbol === symbol));
      const item = list.querySelector("[aria-selected=true]");
      // Of the list alone: on a phone the page would move, too.
      if (item && (item.offsetTop < list.scrollTop || item.offsetTop + item.offsetHeight > list.scrollTop + list.clientHeight)) {
        list.scrollTop = item.offsetTop - list.clientHeight / 2;
      }
    },
  };
}

/** The last trades, newest first. */
function tradeList() {
  const body = h("tbody");
  const state = h("span.state", null, "");
  let decimals = 2;
  let last = null;
  const row = (trade, before) => h("tr", { className: direction(before == null ? 0 : trade.price - before), "data-trade": trade.trade_id },
    h("td", null, moment(trade.ts, "time")), h("td.number.price", null, price(trade.price, decimals)), h("td.number", null, amount(trade.size)));
  let waiting = [];
  const drawing = setInterval(draw, 100);

  // Thousands a second may come; a reader sees ten changes.
  function draw() {
    if (!waiting.length) return;
    const rows = waiting.slice(-TRADES).map((trade) => {
      const made = row(trade, last);
      last = trade.price;
      return made;
    });
    waiting = [];
    body.prepend(...rows.reverse());
    while (body.childElementCount > TRADES) body.lastElementChild.remove();
  }

  return {
    element: panel("Last trades", state, h("div.scroll", null, h("table.trades", null,
      h("thead", null, h("tr", null, h("th", null, "Time (UTC)"), h("th.number", null, "Price"), h("th.number", null, "Size"))), body))),
    begin(trades, newDecimals) {
      decimals = newDecimals;
      waiting = [];
      body.replaceChildren(...trades.map((trade, index) => row(trade, trades[index + 1]?.price)));
      last = trades[0]?.price ?? null;
    },
    take(trade) { waiting.push(trade); if (waiting.length > 10_000) waiting.splice(0, 5000); },
    state(text) {
      state.textContent = text === "live" ? "live" : text === "waiting" ? "connecting" : text;
      state.className = `state ${text}`;
    },
    end: () => clearInterval(drawing),
  };
}

export async function open(root, parameters, { remember }) {
  let symbol = parameters.get("symbol") ?? localStorage.getItem(LAST);
  let timeframe = TIMEFRAMES.includes(parameters.get("timeframe")) ? parameters.get("timeframe") : "1m";
  const chosen = new Set(JSON.parse(localStorage.getItem(CHOSEN) ?? '["SMA 20","Bollinger","RSI"]'));
  const library = await candles();
  let closed = false;
  let stop = () => {};
  let asking = new AbortController();
  let older = { loading: false, done: false };

  const watch = symbolList(select);
  const trades = tradeList();
  const title = h("h1", null, symbol ?? "");
  const name = h("p.company", null, "");
  const now = h("strong.now", { "data-price": "" }, "–");
  const change = h("span.change", null, "");
  const feeling = h("a.feeling", { hidden: true }, "");
  const legend = h("dl.legend", { "aria-live": "off" });
  const frames = h("div.choice", { role: "group", "aria-label": "Timeframe" }, TIMEFRAMES.map((each) =>
    h("button", { "aria-pressed": String(each === timeframe), onclick: () => widen(each) }, each)));
  const toggles = h("div.choice.indicators", { role: "group", "aria-label": "Indicators" }, INDICATORS.map((each) =>
    h("button", { "aria-pressed": String(chosen.has(each.name)), onclick: (event) => toggle(each.name, event.currentTarget) }, each.name)));
  const canvas = h("div.candles", { role: "img", "aria-label": "Candlesticks" });
  const empty = nothing("No trade of this symbol is stored.");
  empty.hidden = true;
  root.append(h("div.market-grid", null, watch.element,
    h("section.panel.chart", { "aria-label": "Chart" },
      h("header.quote", null, h("div", null, title, name), h("div.figures", null, now, change, feeling)),
      h("div.toolbar", null, frames, toggles), legend, h("div.canvas", null, canvas, empty)),
    trades.element));
  const chart = new CandleChart(library, canvas, chosen, { hover: describe, wantOlder });
  const forget = whenColoursChange(() => chart.paint());

  function describe(bar) {
    if (!bar) return legend.replaceChildren();
    const { decimals } = chart;
    const cells = [["", moment(bar.ts, timeframe === "1d" ? "day" : "full")], ["O", price(bar.open, decimals)], ["H", price(bar.high, decimals)],
      ["L", price(bar.low, decimals)], ["C", price(bar.close, decimals)], ["V", amount(bar.volume)], ["VWAP", price(bar.vwap, decimals)],
      ["Trades", amount(bar.trade_count)]];
    legend.dataset.ts = bar.ts;
    legend.replaceChildren(...cells.map(([term, text]) =>
      h("div", { className: term === "C" ? direction(bar.close - bar.open) : "" }, h("dt", null, term), h("dd", null, text))));
  }

  let dayOpen = null;
  function showPrice(value) {
    if (value == null) { now.textContent = "–"; change.textContent = ""; return; }
    now.dataset.price = value;
    now.textContent = price(value, chart.decimals);
    const since = dayOpen ? (value / dayOpen - 1) * 100 : null;
    change.textContent = since == null ? "" : `${signed(value - dayOpen, chart.decimals)}  ${signed(since, 2, " %")} today`;
    change.className = `change ${direction(since ?? 0)}`;
  }

  async function indicators(from, signal) {
    const rows = (await get("/api/v1/indicators", { symbol, timeframe, from, order: "desc", limit: 5000, time: "ms" }, signal)).indicators;
    chart.takeIndicators(rows);
  }

  // Once a second is enough for lines that follow from the last bars.
  let wanted = false;
  const refining = poll(async () => {
    if (!wanted || !chart.bars.length) return;
    wanted = false;
    await indicators(chart.bars.at(-2)?.ts ?? chart.bars.at(-1).ts, asking.signal);
  }, 1000);

  async function wantOlder() {
    if (older.loading || older.done || !chart.bars.length) return;
    const mine = older;
    mine.loading = true;
    try {
      const to = chart.bars[0].ts;
      const { bars } = await get("/api/v1/bars", { symbol, timeframe, to, order: "desc", limit: PAGE, time: "ms" }, asking.signal);
      if (mine !== older) return;
      mine.done = bars.length < PAGE;
      if (bars.length) {
        chart.prepend(bars.reverse());
        await indicators(bars[0].ts, asking.signal);
      }
    } finally { mine.loading = false; }
  }

  async function load() {
    stop();
    asking.abort();
    asking = new AbortController();
    older = { loading: false, done: false };
    const { signal } = asking;
    remember({ symbol, timeframe });
    localStorage.setItem(LAST, symbol);
    title.textContent = symbol;
    watch.choose(symbol);
    const sentimentFrame = ["1h", "1d"].includes(timeframe) ? timeframe : ["5m", "15m"].includes(timeframe) ? timeframe : "1m";
    const [{ bars }, last, days, known] = await Promise.all([
      get("/api/v1/bars", { symbol, timeframe, order: "desc", limit: PAGE, time: "ms" }, signal),
      get("/api/v1/trades", { symbol, order: "desc", limit: TRADES, time: "ms" }, signal),
      get("/api/v1/bars", { symbol, timeframe: "1d", order: "desc", limit: 1, time: "ms" }, signal),
      get("/api/v1/symbols", { symbol, limit: 1 }, signal),
    ]);
    const facts = known.symbols[0];
    name.textContent = [facts?.name, facts?.exchange, facts?.currency].filter(Boolean).join(" · ");
    dayOpen = days.bars[0]?.open ?? null;
    older.done = bars.length < PAGE;
    chart.begin(timeframe, bars.reverse());
    empty.hidden = bars.length > 0;
    trades.begin(last.trades, chart.decimals);
    showPrice(last.trades[0]?.price);
    describe(bars.at(-1));
    canvas.dataset.bars = bars.length;
    stop = follow("/api/v1/stream", { symbols: symbol, channels: "trades,bars", timeframes: timeframe, time: "ms" }, {
      state: trades.state,
      trade(trade) {
        trades.take(trade);
        showPrice(trade.price);
      },
      bar(bar) {
        if (bar.timeframe !== timeframe) return;
        const wasLast = !legend.dataset.ts || Number(legend.dataset.ts) === chart.bars.at(-1)?.ts;
        chart.take(bar);
        canvas.dataset.bars = chart.bars.length;
        empty.hidden = true;
        if (wasLast) describe(chart.bars.at(-1));
        wanted = true;
      },
      missed: reload,
    });
    if (!bars.length) return;
    const [, { sentiment }] = await Promise.all([
      indicators(bars[0].ts, signal),
      get("/api/v1/sentiment", { symbol, timeframe: sentimentFrame, from: bars[0].ts, order: "asc", limit: 5000, time: "ms" }, signal),
    ]);
    chart.takeSentiment(sentiment);
    canvas.dataset.indicators = "drawn";
    const posts = sentiment.reduce((sum, each) => sum + each.post_count, 0);
    feeling.hidden = posts === 0;
    if (posts) {
      const mean = sentiment.reduce((sum, each) => sum + each.post_count * each.mean_sentiment, 0) / posts;
      feeling.textContent = `${signed(mean)} in ${amount(posts)} posts`;
      feeling.className = `feeling ${direction(mean)}`;
      feeling.title = "Mean sentiment of the posts in this chart's time";
      feeling.href = `#/sentiment?symbol=${encodeURIComponent(symbol)}`;
    }
  }

  const quietly = (promise) => promise.catch((error) => { if (error.name !== "AbortError") trades.state(error.message); });

  // What could not be told is asked for; a tape that is loaded in bulk is missed again and again.
  const reload = debounce(() => { if (!closed) quietly(load()); }, 1000);

  function select(next) {
    symbol = next;
    quietly(load());
  }

  function widen(next) {
    timeframe = next;
    for (const button of frames.children) button.setAttribute("aria-pressed", String(button.textContent === timeframe));
    quietly(load());
  }

  function toggle(which, button) {
    if (!chosen.delete(which)) chosen.add(which);
    button.setAttribute("aria-pressed", String(chosen.has(which)));
    localStorage.setItem(CHOSEN, JSON.stringify([...chosen]));
    chart.choose(chosen);
  }

  const rows = await watch.refresh();
  const refreshing = poll((signal) => watch.refresh(signal), 3000);
  symbol ??= [...(rows ?? [])].sort((a, b) => b.ts - a.ts)[0]?.symbol;
  if (symbol) await load();
  else {
    title.textContent = "Nothing has traded yet";
    empty.textContent = "tapedeck ingest, load or a replay brings trades; they appear here as they are committed.";
    empty.hidden = false;
  }

  return {
    press(pressed) {
      if (pressed === "/") { watch.field.focus(); return true; }
      const step = { "[": -1, "]": 1 }[pressed];
      const next = TIMEFRAMES[TIMEFRAMES.indexOf(timeframe) + step];
      if (!step || !next) return false;
      widen(next);
      return true;
    },
    close() {
      closed = true;
      stop();
      asking.abort();
      refreshing();
      refining();
      trades.end();
      forget();
      chart.end();
    },
  };
}

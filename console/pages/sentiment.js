// SPDX-License-Identifier: Apache-2.0
// Sentiment: what is said of symbols, by symbol and subreddit, over time, and the posts behind each number.

import { get } from "../api.js";
import { axis, Chart, fade, tip } from "../charts.js";
import { amount, direction, h, moment, nothing, panel, price, signed, svg } from "../dom.js";

const DAY = 86_400_000;
const WINDOWS = [
  { name: "24 h", length: DAY, timeframe: "1h" },
  { name: "3 d", length: 3 * DAY, timeframe: "1h" },
  { name: "7 d", length: 7 * DAY, timeframe: "1h" },
  { name: "30 d", length: 30 * DAY, timeframe: "1d" },
  { name: "All", length: Infinity, timeframe: "1d" },
];
const WIDTHS = { "1h": DAY / 24, "1d": DAY };
const GAUGES = 8;
const PAGE = 30;
/** What counts as positive or negative, as VADER's authors have it. */
const CLEAR = 0.05;

const leaning = (score) => (score == null || Math.abs(score) < CLEAR ? "" : direction(score));

/** A half circle with a needle for a mean between −1 and 1; the number stands below. */
function gauge(symbol, mean, posts, chosen, select) {
  const angle = (mean + 1) * 90;
  const at = (degrees, radius) => {
    const radians = ((180 - degrees) * Math.PI) / 180;
    return `${(60 + radius * Math.cos(radians)).toFixed(2)} ${(58 - radius * Math.sin(radians)).toFixed(2)}`;
  };
  const arc = (from, to, name) => svg("path", { d: `M${at(from, 46)} A46 46 0 0 1 ${at(to, 46)}`, class: `arc ${name}` });
  const picture = svg("svg", { viewBox: "0 0 120 68", "aria-hidden": "true" },
    arc(0, 60, "low"), arc(62, 118, "middle"), arc(120, 180, "high"),
    svg("path", { d: `M${at(angle, 14)} L${at(angle, 38)}`, class: "needle" }), svg("circle", { cx: 60, cy: 58, r: 3.5, class: "hub" }));
  return h("button.gauge", { "aria-pressed": String(chosen), "data-symbol": symbol, "data-mean": mean, onclick: () => select(symbol) },
    picture, h("strong", { className: leaning(mean) }, signed(mean)), h("span", null, symbol), h("small", null, `${amount(posts)} posts`));
}

/** A bar to the left or to the right of the middle. */
function meter(mean) {
  const inner = h("i", { className: mean >= 0 ? "high" : "low" });
  inner.style.width = `${Math.abs(mean) * 50}%`;
  inner.style.left = mean >= 0 ? "50%" : `${50 - Math.abs(mean) * 50}%`;
  return h("div.meter", { "aria-hidden": "true" }, inner);
}

export async function open(root, parameters, { remember }) {
  let { symbol, subreddit } = { symbol: parameters.get("symbol"), subreddit: parameters.get("subreddit") };
  let chosen = WINDOWS.find((each) => each.name.replace(" ", "") === parameters.get("window")) ?? WINDOWS[2];
  let bin = null;
  let asking = new AbortController();
  let range = null;

  const windows = h("div.choice", { role: "group", "aria-label": "Time" }, WINDOWS.map((each) =>
    h("button", { "aria-pressed": String(each === chosen), onclick: () => { chosen = each; bin = null; load(); } }, each.name)));
  const until = h("small", null, "");
  const gauges = h("div.gauges");
  const symbols = h("tbody");
  const subreddits = h("tbody");
  const canvas = h("div.over-time");
  const title = h("h2", null, "");
  const posts = h("ul.posts");
  const count = h("span.said", { role: "status" }, "");
  const more = h("button.quiet", { hidden: true }, "More");
  const problem = h("small.down", null, "");
  const chart = new Chart(canvas, "Sentiment over time");
  const head = (columns) => h("thead", null, h("tr", null, columns.map((text) => h("th", { className: text.startsWith(">") ? "number" : "" }, text.replace(">", "")))));

  root.append(h("div.sentiment-grid", null,
    panel("Sentiment", h("div.row", null, problem, until, windows), gauges),
    panel("Symbols", null, h("div.scroll", null, h("table", null, head(["Symbol", ">Mean", "", ">Posts", ">Positive", ">Negative"]), symbols))),
    panel("Subreddits", null, h("div.scroll", null, h("table", null, head(["Subreddit", ">Mean", "", ">Posts"]), subreddits))),
    h("section.panel.timeline", { "aria-label": "Over time" }, h("header", null, title), canvas),
    panel("Posts", count, h("div.scroll", null, posts, more))));

  const mentions = (select, more_, signal) => get("/api/v1/tables/mentions", {
    select, and: `(ts.gte.${new Date(range.from).toISOString()},ts.lt.${new Date(range.to).toISOString()})`, ...more_,
  }, signal);

  async function load() {
    asking.abort();
    asking = new AbortController();
    const { signal } = asking;
    try {
      await ask(signal);
      problem.textContent = "";
    } catch (error) {
      if (error.name !== "AbortError") problem.textContent = error.message;
    }
  }

  async function ask(signal) {
    for (const button of windows.children) button.setAttribute("aria-pressed", String(button.textContent === chosen.name));
    // An old collection is looked at from its newest post, not from today.
    const newest = (await get("/api/v1/posts", { limit: 1, time: "ms" }, signal)).posts[0];
    if (!newest) {
      gauges.replaceChildren(nothing("No post is stored. tapedeck load posts.jsonl brings some, and instruments make them found: tapedeck load samples/instruments_us.csv."));
      return;
    }
    const now = Date.now();
    const recent = now - newest.created_at < Math.min(chosen.length, 7 * DAY);
    const to = recent ? now : newest.created_at + 1;
    range = { from: chosen.length === Infinity ? 0 : to - chosen.length, to };
    until.textContent = recent ? "" : `until ${moment(to, "minute")}`;
    const [all, positive, negative] = await Promise.all([
      mentions("symbol,posts:count(),mean:sentiment.avg()", { order: "posts.desc,symbol", limit: 200 }, signal),
      mentions("symbol,posts:count()", { sentiment: `gte.${CLEAR}` }, signal),
      mentions("symbol,posts:count()", { sentiment: `lte.-${CLEAR}` }, signal),
    ]);
    const of = (rows) => new Map(rows.map((each) => [each.symbol, each.posts]));
    const [highs, lows] = [of(positive), of(negative)];
    if (!all.some((each) => each.symbol === symbol) && !parameters.get("symbol")) symbol = all[0]?.symbol ?? null;
    symbol ??= all[0]?.symbol ?? null;
    gauges.replaceChildren(...(all.length ? all.slice(0, GAUGES).map((each) => gauge(each.symbol, each.mean, each.posts, each.symbol === symbol, select))
      : [nothing("No post of this time mentions a known instrument.")]));
    symbols.replaceChildren(...all.map((each) => h("tr", { "data-row": each.symbol, "aria-selected": String(each.symbol === symbol), onclick: () => select(each.symbol) },
      h("td", null, h("button.cell-button", null, each.symbol)), h("td", { className: `number ${leaning(each.mean)}` }, signed(each.mean)), h("td", null, meter(each.mean)),
      h("td.number", null, amount(each.posts)), h("td.number", null, amount(highs.get(each.symbol) ?? 0)), h("td.number", null, amount(lows.get(each.symbol) ?? 0)))));
    await showSymbol(signal);
  }

  async function showSymbol(signal = asking.signal) {
    remember({ symbol, subreddit, window: chosen.name.replace(" ", "") });
    for (const each of gauges.children) each.setAttribute("aria-pressed", String(each.dataset.symbol === symbol));
    for (const each of symbols.children) each.setAttribute("aria-selected", String(each.dataset.row === symbol));
    if (!symbol || !range) return;
    const by = await mentions("subreddit,posts:count(),mean:sentiment.avg()", { symbol: `eq.${symbol}`, order: "posts.desc,subreddit", limit: 200 }, signal);
    const total = by.reduce((sum, each) => sum + each.posts, 0);
    if (subreddit && !by.some((each) => each.subreddit === subreddit)) subreddit = null;
    const rows = total ? [{ subreddit: null, posts: total, mean: by.reduce((sum, each) => sum + each.posts * each.mean, 0) / total }, ...by] : [];
    subreddits.replaceChildren(...rows.map((each) => h("tr", {
      "data-row": each.subreddit ?? "", "aria-selected": String(each.subreddit === subreddit),
      onclick: () => { subreddit = each.subreddit; bin = null; showSymbol().catch(ignore); },
    }, h("td", null, h("button.cell-button", null, each.subreddit ? `r/${each.subreddit}` : "all")), h("td", { className: `number ${leaning(each.mean)}` }, signed(each.mean)), h("td", null, meter(each.mean)), h("td.number", null, amount(each.posts)))));
    await Promise.all([draw(signal), list(true, signal)]);
  }

  /** Means by time: of the symbol as they are kept, of a subreddit from its mentions. */
  async function bins(signal) {
    const { timeframe } = chosen;
    if (!subreddit) {
      return (await get("/api/v1/sentiment", { symbol, timeframe, from: range.from, to: range.to, order: "asc", limit: 10_000, time: "ms" }, signal)).sentiment
        .map((each) => ({ ts: each.ts, mean: each.mean_sentiment, posts: each.post_count }));
    }
    const found = await mentions("ts,sentiment", { symbol: `eq.${symbol}`, subreddit: `eq.${subreddit}`, order: "ts.asc", limit: 50_000 }, signal);
    const sums = new Map();
    for (const each of found) {
      const ts = Math.floor(Date.parse(each.ts) / WIDTHS[timeframe]) * WIDTHS[timeframe];
      const sum = sums.get(ts) ?? { ts, total: 0, posts: 0 };
      sum.posts++;
      sum.total += each.sentiment;
      sums.set(ts, sum);
    }
    return [...sums.values()].map(({ ts, total, posts: size }) => ({ ts, mean: total / size, posts: size }));
  }

  async function draw(signal) {
    const { timeframe } = chosen;
    const [means, { bars }] = await Promise.all([bins(signal),
      get("/api/v1/bars", { symbol, timeframe, from: range.from, to: range.to, order: "asc", limit: 10_000, time: "ms" }, signal)]);
    title.textContent = `${symbol}${subreddit ? ` in r/${subreddit}` : ""}: sentiment, posts and price, by ${timeframe === "1h" ? "hour" : "day"}`;
    canvas.dataset.bins = means.length;
    canvas.dataset.posts = means.reduce((sum, each) => sum + each.posts, 0);
    chart.show((ink) => ({
      legend: { textStyle: { color: ink.muted }, top: 0, icon: "roundRect", itemWidth: 12, itemHeight: 6 },
      tooltip: tip(ink, (points) => {
        const mean = means.find((each) => each.ts === points[0].value[0]);
        const at = points.find((point) => point.seriesName === "Price");
        return [moment(points[0].value[0], "minute"), ...(mean ? [["Sentiment", signed(mean.mean)], ["Posts", amount(mean.posts)]] : []), ...(at ? [["Price", price(at.value[1])]] : [])];
      }),
      grid: { left: 8, right: 12, top: 30, bottom: 8, outerBoundsMode: "same", outerBoundsContain: "axisLabel" },
      xAxis: axis(ink, { type: "time", min: Math.min(means[0]?.ts ?? range.to, bars[0]?.ts ?? range.to), splitLine: { show: false } }),
      yAxis: [axis(ink, { type: "value", min: -1, max: 1, interval: 0.5 }), axis(ink, { type: "value", show: false, min: 0, max: (extent) => extent.max * 4 }),
        axis(ink, { type: "value", scale: true, splitLine: { show: false }, position: "right" })],
      series: [
        { name: "Posts", type: "bar", yAxisIndex: 1, data: means.map((each) => [each.ts, each.posts]), itemStyle: { color: fade(ink.muted, 0.28) }, barMaxWidth: 10 },
        { name: "Sentiment", type: "bar", color: ink.up, barGap: "-100%", data: means.map((each) => ({ value: [each.ts, each.mean], itemStyle: { color: each.mean >= 0 ? ink.up : ink.down } })), barMaxWidth: 10 },
        { name: "Price", type: "line", yAxisIndex: 2, showSymbol: false, data: bars.map((bar) => [bar.ts, bar.close]), lineStyle: { width: 1.5, color: ink.blue }, itemStyle: { color: ink.blue } },
      ],
    }));
    await chart.ready;
    chart.instance?.off("click");
    // A bar leads to its posts, and once more back to all.
    chart.instance?.on("click", ({ value }) => {
      bin = bin?.from === value[0] ? null : { from: value[0], to: value[0] + WIDTHS[timeframe] };
      list(true).catch(ignore);
    });
  }

  function post(each) {
    const score = each.sentiment;
    return h("li.post", { "data-post": each.id },
      h("header", null, h("strong", { className: leaning(score) }, signed(score)),
        h("span", null, `r/${each.subreddit ?? "?"}`), h("small", null, `${each.author ? `u/${each.author} · ` : ""}${moment(each.created_at, "minute")} · ${each.kind}${each.score == null ? "" : ` · ${amount(each.score)} points`}`)),
      each.title ? h("h3", null, each.title) : null,
      h("p", null, each.is_deleted ? "deleted" : (each.body ?? "").slice(0, 600)),
      h("footer", null, each.symbols.map((name) => h("button.tag", { onclick: () => select(name) }, name)),
        each.url && /^https?:/.test(each.url) ? h("a", { href: each.url, target: "_blank", rel: "noopener noreferrer" }, "open") : null));
  }

  let token = null;
  async function list(fresh, signal = asking.signal) {
    const reply = await get("/api/v1/posts", {
      symbol, subreddit, from: bin?.from ?? range.from, to: bin?.to ?? range.to, limit: PAGE, time: "ms", page_token: fresh ? null : token,
    }, signal);
    token = reply.next_page_token;
    more.hidden = !token;
    if (fresh) posts.replaceChildren(...(reply.posts.length ? reply.posts.map(post) : [nothing("No posts.")]));
    else posts.append(...reply.posts.map(post));
    const shown = posts.querySelectorAll(".post").length;
    count.textContent = `${shown}${token ? " and more" : ""}${bin ? ` of ${moment(bin.from, "minute")}` : ""}, newest first`;
  }
  more.onclick = () => list(false).catch(ignore);

  const ignore = (error) => { if (error.name !== "AbortError") problem.textContent = error.message; };

  function select(next) {
    symbol = next;
    subreddit = null;
    bin = null;
    showSymbol().catch(ignore);
  }

  await load();
  return {
    close() {
      asking.abort();
      chart.end();
    },
  };
}

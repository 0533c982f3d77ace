// SPDX-License-Identifier: Apache-2.0
// Pipeline: what flows through it now, how far behind it is, what it refused and why, jobs, alerts.

import { get, poll, query, request } from "../api.js";
import { axis, Chart, fade, tip } from "../charts.js";
import { amount, h, moment, nothing, panel, price, signed, span } from "../dom.js";

const EVERY = 2000;
const KEPT = 150;

/** The samples of Prometheus' text: `name{label="value"}` → number. */
export function samples(text) {
  const found = [];
  for (const line of text.split("\n")) {
    const match = line.match(/^(\w+)(?:\{(.*)\})? ([^ ]+)$/);
    if (!match) continue;
    const labels = Object.fromEntries([...(match[2] ?? "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, name, value]) => [name, value]));
    found.push({ name: match[1], labels, value: Number(match[3]) });
  }
  return found;
}

const number = (value) => (value == null ? null : Number(value));

/** What the whole pipeline has done so far, of the metrics and of the store. */
async function measure(signal) {
  const [text, sources, offsets, processors] = await Promise.all([
    request("/metrics", { signal }).then((response) => response.text()),
    query("select source, last_event_ts, silent_for, is_silent, rate, events, last_error, last_error_at, state from ops.source_freshness order by source", [], signal),
    query("select topic, sum(next_offset)::bigint as records from ops.log_offsets group by topic", [], signal),
    query("select commit_ms_median, commit_ms_p99, lag_records from ops.processors where updated_at > now() - interval '30 s' order by updated_at desc", [], signal),
  ]);
  const metrics = samples(text);
  const sum = (name, labels = {}) => {
    const found = metrics.filter((each) => each.name === name && Object.entries(labels).every(([label, value]) => each.labels[label] === value));
    return found.length ? found.reduce((total, each) => total + each.value, 0) : null;
  };
  const stored = new Map(offsets.map((each) => [each.topic, Number(each.records)]));
  const valid = [...stored].filter(([topic]) => !topic.endsWith(".rejected"));
  return {
    at: performance.now(),
    sources,
    processors,
    topics: stored,
    events: sources.reduce((total, each) => total + Number(each.events), 0),
    stored: valid.reduce((total, [, records]) => total + records, 0),
    rejected: [...stored].filter(([topic]) => topic.endsWith(".rejected")).reduce((total, [, records]) => total + records, 0),
    bars: sum("tapedeck_bars_written_total"),
    // As the processor of this process counts it, or else as one elsewhere, each of which looks at all partitions, said last.
    lag: sum("tapedeck_lag_records") ?? number(processors.find((each) => each.lag_records != null)?.lag_records),
    requests: sum("tapedeck_http_requests_total"),
    connections: sum("tapedeck_http_connections"),
    told: sum("tapedeck_live_trades_total"),
    bytes: sum("tapedeck_http_response_bytes_total"),
  };
}

const perSecond = (rate) => (rate == null ? "–" : `${amount(rate < 10 ? Math.round(rate * 10) / 10 : Math.round(rate))}/s`);

/** The flow from sources to readers, as boxes with what moves between them. */
function flow() {
  const box = (name, title, note) => {
    const figure = h("strong", { "data-figure": name }, "–");
    const lines = h("div.lines");
    const element = h("div.node", null, h("h3", null, title), figure, h("small", null, note), lines);
    return { element, figure, lines };
  };
  const nodes = {
    sources: box("sources", "Sources", "records arriving"),
    log: box("lag", "Log", "records behind"),
    validation: box("valid", "Validation", "valid records"),
    store: box("stored", "PostgreSQL", "records committed"),
    readers: box("requests", "Readers", "requests answered"),
  };
  const pipes = {};
  const pipe = (name) => (pipes[name] = h("div.pipe", { "aria-hidden": "true" }, h("span")));
  const element = h("div.flow", null, nodes.sources.element, pipe("in"), nodes.log.element, pipe("checked"), nodes.validation.element,
    pipe("kept"), nodes.store.element, pipe("out"), nodes.readers.element);
  const line = (name, value, kind = "") => h("div", { className: kind }, h("span", null, name), h("span", null, value));
  const move = (name, rate) => {
    // The faster, the more goes through; a standstill is seen as one.
    pipes[name].classList.toggle("moving", rate > 0);
    pipes[name].style.setProperty("--pace", `${Math.max(0.25, Math.min(4, 3 / Math.sqrt(Math.max(rate, 0.01))))}s`);
  };

  return {
    element,
    show(now, rates) {
      const { sources, log, validation, store, readers } = nodes;
      sources.figure.textContent = perSecond(rates?.events);
      sources.lines.replaceChildren(...(now.sources.length ? now.sources.map((each) =>
        h("div", { title: each.last_error ? `${each.last_error} (${moment(each.last_error_at)})` : "" },
          h("span", null, h("i.dot", { className: `dot ${each.is_silent ? "" : each.last_error ? "warn" : "live"}` }), ` ${each.source}`),
          h("span", null, each.is_silent ? `silent since ${moment(each.last_event_ts, "minute")}` : perSecond(each.rate)))) : [line("none yet", "")]));
      log.figure.textContent = now.lag == null ? "–" : amount(now.lag);
      log.figure.className = now.lag > 10_000 ? "down" : "";
      log.lines.replaceChildren(...(now.lag == null
        ? [line(now.processors.length ? "the log does not" : "no processor", now.processors.length ? "answer" : "is running")]
        : [line("catches up in", rates?.stored > 0 && now.lag > 0 ? span((now.lag / rates.stored) * 1000) : now.lag > 0 ? "…" : "now")]));
      validation.figure.textContent = perSecond(rates?.stored);
      validation.lines.replaceChildren(line("valid", amount(now.stored)), line("rejected", amount(now.rejected), now.rejected ? "down" : ""),
        line("processors", now.processors.length));
      store.figure.textContent = perSecond(rates?.stored);
      store.lines.replaceChildren(...[...now.topics].filter(([topic, records]) => !topic.endsWith(".rejected") && records > 0)
        .map(([topic, records]) => line(topic.replace("_", " "), amount(records))),
      ...(now.processors.length ? [line("a commit takes", span(Math.max(...now.processors.map((each) => each.commit_ms_median ?? 0))))] : []));
      readers.figure.textContent = perSecond(rates?.requests);
      readers.lines.replaceChildren(line("connections", amount(now.connections)), line("told live", perSecond(rates?.told)), line("sent", `${amount(rates?.bytes ?? 0)} B/s`));
      move("in", rates?.events ?? 0);
      move("checked", rates?.stored ?? 0);
      move("kept", rates?.stored ?? 0);
      move("out", rates?.requests ?? 0);
    },
  };
}

/** The bytes of a payload as people read them: offsets, hexadecimal, letters. */
function dump(base64) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const lines = [];
  for (let at = 0; at < Math.min(bytes.length, 1024); at += 16) {
    const part = [...bytes.slice(at, at + 16)];
    lines.push(`${at.toString(16).padStart(4, "0")}  ${part.map((byte) => byte.toString(16).padStart(2, "0")).join(" ").padEnd(47)}  `
      + part.map((byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : ".")).join(""));
  }
  return lines.join("\n");
}

/** Records that were refused: how many by reason, and each with what the source sent. */
function rejects() {
  let reason = null;
  let token = null;
  const reasons = h("div.choice.reasons", { role: "group", "aria-label": "Reasons" });
  const list = h("ul.rejects");
  const more = h("button.quiet", { hidden: true, onclick: () => load(false) }, "More");
  const total = h("small", null, "");

  async function load(fresh = true, signal) {
    const { rejected, next_page_token: next } = await get("/api/v1/rejected", { reason, limit: 25, page_token: fresh ? null : token }, signal);
    token = next;
    more.hidden = !next;
    const items = rejected.map((each) => h("li", { "data-offset": `${each.topic}/${each.partition}/${each.offset}` }, h("details", null,
      h("summary", null, h("strong", null, each.reason), h("span", null, each.message), h("small", null, `${each.source ?? "?"} · ${each.symbol ?? "no symbol"} · ${moment(each.rejected_at)}`)),
      h("p.hint", null, `${each.topic}, partition ${each.partition}, offset ${each.offset}`),
      h("pre", null, each.payload_text ?? (each.payload_base64 ? dump(each.payload_base64) : "no payload"))))) ;
    if (fresh) list.replaceChildren(...(items.length ? items : [nothing("Nothing was refused.")]));
    else list.append(...items);
  }

  async function count(signal) {
    const counts = await query("select reason, count(*) as records from ops.rejected_records group by reason order by 2 desc, 1", [], signal);
    const sum = counts.reduce((all, each) => all + Number(each.records), 0);
    const changed = total.textContent !== `${sum} kept`;
    total.textContent = `${sum} kept`;
    reasons.replaceChildren(...[{ reason: null, records: sum }, ...counts].map((each) =>
      h("button", { "aria-pressed": String(each.reason === reason), "data-reason": each.reason ?? "", onclick: () => { reason = each.reason; load(); count(); } },
        `${each.reason ?? "all"} ${each.records}`)));
    if (changed && !list.querySelector("details[open]")) await load(true, signal);
  }

  return { element: panel("Rejected records", total, h("div.toolbar", null, reasons), h("div.scroll", null, list, more)), count };
}

/** A table that is asked for again and again. */
function table(title, columns, ask, empty) {
  const body = h("tbody");
  const none = nothing(empty);
  const problem = h("small.down", null, "");
  return {
    element: panel(title, problem, h("div.scroll", null, h("table", null,
      h("thead", null, h("tr", null, columns.map((column) => h("th", { className: column.startsWith(">") ? "number" : "" }, column.replace(">", ""))))), body), none)),
    async refresh(signal) {
      try {
        const rows = await ask(signal);
        problem.textContent = "";
        none.hidden = rows.length > 0;
        body.replaceChildren(...rows.map((cells) => h("tr", { "data-row": cells[0] }, cells.map((cell, index) =>
          h("td", { className: columns[index].startsWith(">") ? "number" : "" }, cell)))));
      } catch (error) {
        if (error.name !== "AbortError") problem.textContent = error.message;
      }
    },
  };
}

export async function open(root) {
  const picture = flow();
  const problem = h("small.down", null, "");
  const canvas = h("div.rates");
  const chart = new Chart(canvas, "Records a second, and how many are behind");
  const history = [];
  const refused = rejects();

  const fresh = table("Freshness", ["Symbol", "Source", ">Last", ">Silent for"], async (signal) =>
    (await query("select symbol, source, last_event_ts, extract(epoch from silent_for) * 1000 as silent from ops.symbol_freshness order by silent_for, symbol limit 200", [], signal))
      .map((each) => [each.symbol, each.source, moment(each.last_event_ts), span(Number(each.silent))]), "No symbol has traded.");
  const processors = table("Processors", ["Process", ">Records/s", ">Batch", ">Commit, median", ">99 %", ">Retries", "Last failure"], async (signal) =>
    (await query("select owner, rate, batch_records_median, commit_ms_median, commit_ms_p99, retries, last_failure, updated_at < now() - interval '30 s' as is_gone from ops.processors order by updated_at desc limit 50", [], signal))
      .map((each) => [h("span", { className: each.is_gone ? "muted" : "", title: each.is_gone ? "Not heard of for 30 s" : "" }, each.owner), amount(each.is_gone ? 0 : Math.round(each.rate * 10) / 10), amount(each.batch_records_median),
        span(each.commit_ms_median), span(each.commit_ms_p99), amount(each.retries), h("span.down", null, each.last_failure ?? "")]), "No processor has worked on this store.");
  const jobs = table("Jobs", ["Job", "When", "Last result", ">Last run", ">Next run"], async (signal) =>
    (await query("select job, schedule, last_run_at, last_result, last_message, next_run_at from ops.jobs order by job", [], signal))
      .map((each) => [each.job, h("code", null, each.schedule ?? ""),
        h("span", { className: each.last_result === "failed" ? "down" : "", title: each.last_message ?? "" }, each.last_result ?? "not yet"), moment(each.last_run_at, "minute"), moment(each.next_run_at, "minute")]),
  "No job is known.");
  const alerts = table("Alerts", ["Symbol", "What", ">Value", ">Threshold", ">Bar"], async (signal) =>
    (await get("/api/v1/alerts", { order: "desc", limit: 100 }, signal)).alerts
      .map((each) => [each.symbol, h("span", { className: { drop: "down", spike: "up" }[each.kind] ?? "" }, each.kind, each.retracted_at ? " (retracted)" : ""),
        each.kind === "volume" ? amount(each.value) : signed(each.value, 2, " %"), each.kind === "volume" ? amount(each.threshold) : `${price(each.threshold)} %`, `${moment(each.ts, "minute")} ${each.timeframe}`]),
  "No bar went beyond a threshold.");
  const gaps = table("Cut-offs and gaps", ["Source", "From", "To", "Filled", "What"], async (signal) =>
    (await query("select source, from_ts, to_ts, filled_at, message from ops.source_gaps order by from_ts desc limit 50", [], signal))
      .map((each) => [each.source, moment(each.from_ts), moment(each.to_ts), each.filled_at ? moment(each.filled_at, "minute") : "not yet", each.message ?? ""]),
  "No source was cut off.");

  root.append(h("div.pipeline-grid", null,
    panel("Flow", problem, picture.element),
    panel("The last five minutes", null, canvas),
    refused.element, processors.element, jobs.element, fresh.element, alerts.element, gaps.element));

  let before = null;
  const measuring = poll(async (signal) => {
    let now;
    try {
      now = await measure(signal);
      problem.textContent = "";
    } catch (error) {
      if (error.name !== "AbortError") problem.textContent = error.message;
      return;
    }
    const seconds = before ? (now.at - before.at) / 1000 : 0;
    // A counter that went back is that of a server that was started again.
    const rate = (name) => (before && now[name] != null && before[name] != null ? Math.max(0, now[name] - before[name]) / seconds : null);
    const rates = before && Object.fromEntries(["events", "stored", "rejected", "requests", "told", "bytes"].map((name) => [name, rate(name)]));
    picture.show(now, rates);
    picture.element.dataset.stored = now.stored;
    picture.element.dataset.rejected = now.rejected;
    if (rates) {
      history.push({ at: Date.now(), ...rates, lag: now.lag });
      if (history.length > KEPT) history.shift();
      chart.show((ink) => ({
        legend: { textStyle: { color: ink.muted }, top: 0, icon: "roundRect", itemWidth: 12, itemHeight: 4 },
        tooltip: tip(ink, (points) => [moment(points[0].value[0]).slice(11), ...points.map((point) => [point.seriesName, amount(point.value[1])])]),
        xAxis: axis(ink, { type: "time", splitLine: { show: false } }),
        yAxis: [axis(ink, { type: "value", name: "records/s", min: 0 }), axis(ink, { type: "value", min: 0, splitLine: { show: false }, minInterval: 1 })],
        series: [["events", "Arrived", ink.blue, 0], ["stored", "Committed", ink.accent, 0], ["lag", "Behind", ink.violet, 1]].map(([name, title, colour, index]) => ({
          name: title, type: "line", yAxisIndex: index, showSymbol: false, lineStyle: { width: 1.6, color: colour, type: index ? "dashed" : "solid" }, itemStyle: { color: colour },
          areaStyle: name === "stored" ? { color: fade(colour, 0.12) } : undefined, data: history.map((each) => [each.at, each[name]]),
        })),
      }));
    }
    before = now;
  }, EVERY);
  const listing = poll((signal) => Promise.all([refused.count(signal), fresh.refresh(signal), processors.refresh(signal), jobs.refresh(signal), alerts.refresh(signal), gaps.refresh(signal)]), 5000);

  return {
    close() {
      measuring();
      listing();
      chart.end();
    },
  };
}

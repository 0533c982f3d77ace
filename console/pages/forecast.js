// SPDX-License-Identifier: Apache-2.0
// Forecast: a distribution of prices to come, for parameters that are controls; beside what came, where it is known.

import { APIError, get, request } from "../api.js";
import { axis, Chart, fade, tip } from "../charts.js";
import { amount, debounce, decimalsOf, h, moment, nothing, panel, price, signed } from "../dom.js";

const SECONDS = { "1m": 60, "5m": 300, "15m": 900, "1h": 3600, "1d": 86_400 };
const LOOKBACKS = ["6h", "1d", "3d", "7d", "30d", "90d", "365d", "3650d"];
const STEPS_MOST = 250;

/** Step and band in words. */
const QUANTILES = [["p95", "95 %"], ["p75", "75 %"], ["p50", "Median"], ["p25", "25 %"], ["p05", "5 %"]];

/** A smooth density from the counts of bins: Gaussian kernels (Silverman's width) at their middles. */
export function density(outcomes, points = 160) {
  const bins = outcomes.map((bin) => ({ at: (bin.price_low + bin.price_high) / 2, count: bin.count }));
  const total = bins.reduce((sum, bin) => sum + bin.count, 0);
  if (!total) return [];
  const mean = bins.reduce((sum, bin) => sum + bin.at * bin.count, 0) / total;
  const deviation = Math.sqrt(bins.reduce((sum, bin) => sum + bin.count * (bin.at - mean) ** 2, 0) / total);
  const width = Math.max(1.06 * deviation * total ** -0.2, (bins[0] ? outcomes[0].price_high - outcomes[0].price_low : 0) * 0.6) || 1e-9;
  const from = outcomes[0].price_low - width;
  const to = outcomes.at(-1).price_high + width;
  return Array.from({ length: points }, (_, index) => {
    const at = from + ((to - from) * index) / (points - 1);
    const sum = bins.reduce((all, bin) => all + bin.count * Math.exp(-0.5 * ((at - bin.at) / width) ** 2), 0);
    return [at, sum / (total * width * Math.sqrt(2 * Math.PI))];
  });
}

/** The share of the simulated prices below `value`. */
export function shareBelow(outcomes, value) {
  const total = outcomes.reduce((sum, bin) => sum + bin.count, 0);
  const below = outcomes.reduce((sum, bin) => {
    if (value >= bin.price_high) return sum + bin.count;
    if (value <= bin.price_low) return sum;
    return sum + (bin.count * (value - bin.price_low)) / (bin.price_high - bin.price_low);
  }, 0);
  return total ? below / total : null;
}

export async function open(root, parameters, { remember }) {
  const names = h("datalist", { id: "forecast-symbols" });
  const given = (name, otherwise) => parameters.get(name) ?? otherwise;
  const controls = {
    symbol: h("input", { list: "forecast-symbols", value: given("symbol", ""), spellcheck: false, autocomplete: "off", name: "symbol" }),
    timeframe: h("select", { name: "timeframe" }, Object.keys(SECONDS).map((each) => h("option", { value: each, selected: each === given("timeframe", "1h") }, each))),
    lookback: h("select", { name: "lookback" }, LOOKBACKS.map((each) => h("option", { value: each, selected: each === given("lookback", "30d") }, each))),
    price: h("select", { name: "price" }, ["vwap", "close"].map((each) => h("option", { value: each, selected: each === given("price", "vwap") }, each))),
    steps: h("input", { type: "range", name: "steps", min: 2, max: STEPS_MOST, value: given("steps", 48) }),
    paths: h("input", { type: "range", name: "paths", min: 2, max: 5, step: 0.25, value: given("paths", 4) }),
    seed: h("input", { type: "number", name: "seed", min: 0, step: 1, value: given("seed", 42) }),
    drift: h("input", { type: "number", name: "drift", step: 0.05, placeholder: "estimated", value: given("drift", "") }),
    volatility: h("input", { type: "number", name: "volatility", step: 0.05, min: 0, placeholder: "estimated", value: given("volatility", "") }),
    until: h("input", { type: "datetime-local", name: "until", step: 1, value: given("until", "") }),
    antithetic: h("input", { type: "checkbox", name: "antithetic", checked: given("antithetic", "") === "true" }),
  };
  const outputs = { steps: h("b"), paths: h("b") };
  const field = (title, name, hint) => h("label.field", { title: hint }, h("span", null, title, outputs[name] ? [" ", outputs[name]] : null), controls[name]);
  const keepButton = h("button.main", { onclick: () => run(true) }, "Make and keep");
  const halfButton = h("button", { title: "As if the last quarter of what is stored were not known yet", onclick: asOfBefore }, "Test on the past");
  const nowButton = h("button.quiet", { onclick: () => { controls.until.value = ""; run(); } }, "Now");
  const said = h("span.said", { role: "status" }, "");
  const problem = h("pre.problem", { role: "alert", hidden: true });
  const facts = h("dl.facts");
  const canvases = { fan: h("div.plot"), histogram: h("div.plot"), density: h("div.plot"), coverage: h("div.plot"), score: h("div.plot") };
  const charts = {
    fan: new Chart(canvases.fan, "Actual and predicted prices"), histogram: new Chart(canvases.histogram, "Histogram of the last step"),
    density: new Chart(canvases.density, "Density of the last step"), coverage: new Chart(canvases.coverage, "Share of prices within the bands, by step"),
    score: new Chart(canvases.score, "Error by step"),
  };
  const before = h("tbody");
  const calibrationNote = nothing("No forecast of this symbol and step can be compared with what came yet. The job score does so every hour.");
  const heading = h("h2", null, "Actual and predicted");

  root.append(h("div.forecast-grid", null,
    h("section.panel.controls", { "aria-label": "Parameters" }, h("header", null, h("h2", null, "Parameters")),
      h("form.body", { onsubmit: (event) => event.preventDefault(), oninput: changed },
        names, field("Symbol", "symbol"), h("div.pair", null, field("Bars", "timeframe", "The bars that prices come from; a step is as long"), field("Look back", "lookback", "How far before the last bar prices are taken")),
        field("Steps", "steps"), field("Paths", "paths"),
        h("div.pair", null, field("Price", "price"), field("Seed", "seed", "The same seed and prices give the same numbers")),
        h("div.pair", null, field("Drift a year", "drift", "Instead of the estimate; 0.1 is 10 %"), field("Volatility a year", "volatility", "Instead of the estimate; 0.5 is 50 %")),
        field("Known until (UTC)", "until", "Only bars that begin before this are known; empty for all"),
        h("label.inline", null, controls.antithetic, "antithetic paths"),
        h("div.row", null, keepButton, halfButton, nowButton))),
    h("section.panel.fan", { "aria-label": "Actual and predicted" }, h("header", null, heading, said), canvases.fan, problem),
    h("section.panel", { "aria-label": "The model" }, h("header", null, h("h2", null, "The model")), h("div.body", null, facts)),
    panel("Histogram of the last step", null, canvases.histogram),
    panel("Density of the last step", null, canvases.density),
    panel("Calibration: share within the bands", null, canvases.coverage, calibrationNote),
    panel("Calibration: error against “the price stays”", null, canvases.score),
    panel("Forecasts that are kept", null, h("div.scroll", null, h("table", null,
      h("thead", null, h("tr", null, ["Made", "By", "Steps", "Paths", "Drift", "Volatility"].map((text) => h("th", null, text)))), before)))));

  let asking = new AbortController();

  const paths = () => Math.round(10 ** Number(controls.paths.value));
  function describe() {
    const seconds = SECONDS[controls.timeframe.value] * controls.steps.value;
    const horizon = seconds >= 2 * 86_400 ? `${Math.round(seconds / 86_400)} d` : seconds >= 7200 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 60)} min`;
    outputs.steps.textContent = `${controls.steps.value} × ${controls.timeframe.value} = ${horizon}`;
    outputs.paths.textContent = paths().toLocaleString("en-US");
  }

  const soon = debounce(() => run(), 350);
  function changed(event) {
    describe();
    if (event.target === controls.symbol) search();
    if (event.target !== controls.symbol || [...names.children].some((each) => each.value === controls.symbol.value)) soon();
  }

  const search = debounce(async () => {
    const { symbols } = await get("/api/v1/symbols", { search: controls.symbol.value, limit: 50 });
    names.replaceChildren(...symbols.filter((each) => each.last_ts).map((each) => h("option", { value: each.symbol }, each.name ?? "")));
    if (symbols.some((each) => each.symbol === controls.symbol.value)) soon();
  }, 150);

  async function asOfBefore() {
    const { symbol, timeframe, steps } = { symbol: controls.symbol.value, timeframe: controls.timeframe.value, steps: Number(controls.steps.value) };
    const { bars } = await get("/api/v1/bars", { symbol, timeframe, order: "desc", limit: steps + 1, time: "ms" });
    if (bars.length < 2) return;
    controls.until.value = new Date(bars.at(-1).ts).toISOString().slice(0, 19);
    run();
  }

  function wanted() {
    const body = {
      symbol: controls.symbol.value.trim(), timeframe: controls.timeframe.value, lookback: controls.lookback.value, price: controls.price.value,
      steps: Number(controls.steps.value), paths: paths(), antithetic: controls.antithetic.checked, sample_paths: 12,
    };
    if (controls.seed.value !== "") body.seed = Number(controls.seed.value);
    for (const name of ["drift", "volatility"]) if (controls[name].value !== "") body[name] = Number(controls[name].value);
    if (controls.until.value) body.until = `${controls.until.value}${controls.until.value.length === 16 ? ":00" : ""}Z`;
    return body;
  }

  async function run(store = false) {
    describe();
    const body = wanted();
    if (!body.symbol) return;
    asking.abort();
    asking = new AbortController();
    const { signal } = asking;
    remember({
      symbol: body.symbol, timeframe: body.timeframe, lookback: body.lookback, price: body.price, steps: body.steps, paths: controls.paths.value,
      seed: controls.seed.value, drift: controls.drift.value, volatility: controls.volatility.value, until: controls.until.value, antithetic: body.antithetic ? "true" : "",
    });
    said.textContent = "simulating";
    try {
      // What is to be kept is kept and listed, whatever is asked for next.
      const response = await request("/api/v1/forecasts", { method: "POST", body: { ...body, store }, signal: store ? undefined : signal });
      const { forecasts: [forecast] } = await response.json();
      if (store) await listBefore();
      if (!signal.aborted) await show(forecast, signal);
    } catch (error) {
      if (error.name === "AbortError") return;
      said.textContent = "";
      problem.hidden = false;
      problem.textContent = error instanceof APIError ? error.text : error.message;
    }
  }

  async function show(forecast, signal) {
    const { symbol, timeframe } = forecast;
    const begin = Date.parse(forecast.spot_ts);
    const length = forecast.step_seconds * 1000;
    const end = begin + length * forecast.steps;
    const [past, came] = await Promise.all([
      get("/api/v1/bars", { symbol, timeframe, to: begin, order: "desc", limit: Math.max(40, Math.round(forecast.steps * 0.75)), time: "ms" }, signal),
      get("/api/v1/bars", { symbol, timeframe, from: begin, to: end, order: "asc", limit: 5000, time: "ms" }, signal),
    ]);
    problem.hidden = true;
    // A bar's close is known when the bar is over.
    const known = past.bars.reverse().map((bar) => [Math.min(bar.ts + length, begin), bar.close]);
    const actual = came.bars.map((bar) => [bar.ts + length, bar.close]).filter(([at]) => at > begin);
    const decimals = decimalsOf(known.map(([, value]) => value));
    const fan = [{ ts: begin, mean: forecast.spot, p05: forecast.spot, p25: forecast.spot, p50: forecast.spot, p75: forecast.spot, p95: forecast.spot },
      ...forecast.fan.map((step) => ({ ...step, ts: Date.parse(step.ts) }))];
    const last = fan.at(-1);
    const final = actual.length && actual.at(-1)[0] >= last.ts - length ? actual.at(-1)[1] : null;
    heading.textContent = `${symbol}: actual and predicted`;
    said.textContent = `${forecast.steps} steps, ${forecast.paths.toLocaleString("en-US")} paths, from ${moment(begin, "minute")}`;
    Object.assign(canvases.fan.dataset, { symbol, steps: forecast.fan.length, p50: last.p50, p05: last.p05, p95: last.p95, actual: actual.length, id: forecast.forecast_id ?? "" });
    showFan({ forecast, known, actual, fan, decimals });
    showOutcomes(forecast, final, decimals);
    showFacts(forecast, last, actual, fan, final, decimals);
    await showCalibration(forecast, signal);
  }

  function showFan({ forecast, known, actual, fan, decimals }) {
    charts.fan.show((ink) => {
      const band = (low, high, name, opacity) => [
        { name: `${name}-`, type: "line", stack: name, silent: true, showSymbol: false, lineStyle: { width: 0 }, data: fan.map((step) => [step.ts, step[low]]), stackStrategy: "all" },
        { name, type: "line", stack: name, silent: true, showSymbol: false, lineStyle: { width: 0 }, itemStyle: { color: fade(ink.accent, opacity + 0.2) }, areaStyle: { color: fade(ink.accent, opacity) }, data: fan.map((step) => [step.ts, step[high] - step[low]]), stackStrategy: "all" },
      ];
      const line = (name, data, colour, more = {}) => ({ name, type: "line", showSymbol: false, data, itemStyle: { color: colour }, lineStyle: { color: colour, width: 1.8, ...more } });
      return {
        legend: { data: ["Known", "Came", "Median", "90 % band", "50 % band"], textStyle: { color: ink.muted }, top: 0, icon: "roundRect", itemWidth: 14, itemHeight: 4 },
        tooltip: tip(ink, (points) => {
          const at = points[0].value[0];
          const step = fan.find((each) => each.ts === at) ?? fan.findLast((each) => each.ts <= at);
          const seen = points.find((point) => ["Known", "Came"].includes(point.seriesName));
          return [moment(at, "minute"), ...(seen ? [["Price", price(seen.value[1], decimals)]] : []),
            ...(step && at >= fan[0].ts ? QUANTILES.map(([name, title]) => [title, price(step[name], decimals)]) : [])];
        }),
        xAxis: axis(ink, { type: "time", splitLine: { show: false } }),
        yAxis: axis(ink, { type: "value", scale: true }),
        dataZoom: [{ type: "inside" }],
        series: [
          ...band("p05", "p95", "90 % band", 0.13), ...band("p25", "p75", "50 % band", 0.2),
          ...forecast.sample_paths.map(({ path, prices }) => ({
            name: `path ${path}`, type: "line", silent: true, showSymbol: false, lineStyle: { width: 0.8, color: fade(ink.muted, 0.35) },
            data: [[fan[0].ts, forecast.spot], ...prices.slice(prices.length - forecast.steps).map((value, index) => [fan[index + 1].ts, value])],
          })),
          line("Median", fan.map((step) => [step.ts, step.p50]), ink.accent, { type: "dashed" }),
          { ...line("Known", known, ink.blue), markLine: { silent: true, symbol: "none", label: { show: false }, lineStyle: { color: ink.muted, type: "dotted" }, data: [{ xAxis: fan[0].ts }] } },
          line("Came", actual, ink.up),
        ],
      };
    });
  }

  function showOutcomes(forecast, final, decimals) {
    const { outcomes, spot } = forecast;
    const marks = (ink) => ({
      silent: true, symbol: "none", label: { color: ink.muted, formatter: "{b}", fontSize: 11, position: "insideEndTop" },
      data: [{ name: "now", xAxis: spot, lineStyle: { color: ink.blue } }, ...(final == null ? [] : [{ name: "came", xAxis: final, lineStyle: { color: ink.up } }])],
    });
    canvases.histogram.dataset.bins = outcomes.length;
    canvases.histogram.dataset.count = outcomes.reduce((sum, bin) => sum + bin.count, 0);
    const label = { formatter: (value) => price(value, decimals > 2 ? decimals : undefined) };
    charts.histogram.show((ink) => ({
      tooltip: tip(ink, ([point]) => [`${price(point.value[2], decimals)} to ${price(point.value[3], decimals)}`, ["Paths", amount(point.value[1])], ["Share", `${((point.value[1] / forecast.paths) * 100).toFixed(1)} %`]]),
      grid: { left: 8, right: 12, top: 18, bottom: 8, outerBoundsMode: "same", outerBoundsContain: "axisLabel" },
      xAxis: axis(ink, { type: "value", min: outcomes[0]?.price_low, max: outcomes.at(-1)?.price_high, splitLine: { show: false }, axisLabel: { ...axis(ink).axisLabel, ...label } }),
      yAxis: axis(ink, { type: "value" }),
      series: [{
        type: "bar", barWidth: "96%", barCategoryGap: "2%", itemStyle: { color: fade(ink.accent, 0.75), borderRadius: [2, 2, 0, 0] }, markLine: marks(ink),
        data: outcomes.map((bin) => [(bin.price_low + bin.price_high) / 2, bin.count, bin.price_low, bin.price_high]),
      }],
    }));
    const curve = density(outcomes);
    charts.density.show((ink) => ({
      tooltip: tip(ink, ([point]) => [price(point.value[0], decimals), ["Density", point.value[1].toPrecision(3)], ["Paths below", `${(shareBelow(outcomes, point.value[0]) * 100).toFixed(1)} %`]]),
      grid: { left: 8, right: 12, top: 18, bottom: 8, outerBoundsMode: "same", outerBoundsContain: "axisLabel" },
      xAxis: axis(ink, { type: "value", min: curve[0]?.[0], max: curve.at(-1)?.[0], splitLine: { show: false }, axisLabel: { ...axis(ink).axisLabel, ...label } }),
      yAxis: axis(ink, { type: "value", axisLabel: { show: false } }),
      series: [{ type: "line", showSymbol: false, smooth: true, data: curve, lineStyle: { color: ink.violet, width: 2 }, itemStyle: { color: ink.violet }, areaStyle: { color: fade(ink.violet, 0.16) }, markLine: marks(ink) }],
    }));
  }

  function showFacts(forecast, last, actual, fan, final, decimals) {
    const percent = (value) => signed(value * 100, 1, " %");
    const steps = new Map(fan.map((step) => [step.ts, step]));
    const compared = actual.flatMap(([at, value]) => (steps.has(at) ? [[steps.get(at), value]] : []));
    // A step's time need not be a bar's: then the nearest step before it counts.
    const pairs = compared.length ? compared : actual.map(([at, value]) => [fan.findLast((step) => step.ts <= at), value]);
    const within = (low, high) => (pairs.length ? `${Math.round((pairs.filter(([step, value]) => value >= step[low] && value <= step[high]).length / pairs.length) * 100)} % of ${pairs.length}` : "–");
    const rows = [
      ["Price now", price(forecast.spot, decimals)], ["Median at the end", `${price(last.p50, decimals)}  (${percent(last.p50 / forecast.spot - 1)})`],
      ["Nine of ten between", `${price(last.p05, decimals)} and ${price(last.p95, decimals)}`], ["Higher than now", `${((1 - shareBelow(forecast.outcomes, forecast.spot)) * 100).toFixed(0)} %`],
      ["Drift a year", percent(forecast.drift)], ["Volatility a year", `${(forecast.volatility * 100).toFixed(1)} %`],
      ["Returns used", forecast.returns == null ? "given" : amount(forecast.returns)], ["Seed", forecast.seed],
      ["Came within 90 %", within("p05", "p95")], ["Came within 50 %", within("p25", "p75")],
      ...(final == null ? [] : [["Came at the end", price(final, decimals)], ["Paths below that", `${(shareBelow(forecast.outcomes, final) * 100).toFixed(0)} %`]]),
    ];
    facts.replaceChildren(...rows.map(([term, text]) => [h("dt", null, term), h("dd", null, text)]).flat());
  }

  async function showCalibration(forecast, signal) {
    const rows = await get("/api/v1/tables/forecast_calibration", {
      symbol: `eq.${forecast.symbol}`, step_seconds: `eq.${forecast.step_seconds}`, order: "step.asc", limit: 1000,
    }, signal);
    calibrationNote.hidden = rows.length > 0;
    canvases.coverage.hidden = canvases.score.hidden = rows.length === 0;
    canvases.coverage.dataset.steps = rows.length;
    const common = (ink) => ({
      legend: { textStyle: { color: ink.muted }, top: 0, icon: "roundRect", itemWidth: 14, itemHeight: 4 },
      xAxis: axis(ink, { type: "category", data: rows.map((row) => row.step), name: "" }),
    });
    const line = (name, column, colour, target) => ({
      name, type: "line", data: rows.map((row) => row[column]), symbolSize: 5, showSymbol: rows.length < 40, lineStyle: { color: colour, width: 1.8 }, itemStyle: { color: colour },
      ...(target == null ? {} : { markLine: { silent: true, symbol: "none", label: { show: false }, lineStyle: { color: colour, type: "dotted" }, data: [{ yAxis: target }] } }),
    });
    charts.coverage.show((ink) => ({
      ...common(ink),
      tooltip: tip(ink, (points) => [`${points[0].name} steps ahead`, ...points.map((point) => [point.seriesName, `${(point.value * 100).toFixed(0)} %`]), ["Forecasts", amount(rows[points[0].dataIndex].forecast_count)]]),
      yAxis: axis(ink, { type: "value", min: 0, max: 1, axisLabel: { ...axis(ink).axisLabel, formatter: (value) => `${value * 100} %` } }),
      series: [line("90 % band", "coverage_90", ink.accent, 0.9), line("50 % band", "coverage_50", ink.blue, 0.5)],
    }));
    charts.score.show((ink) => ({
      ...common(ink),
      tooltip: tip(ink, (points) => [`${points[0].name} steps ahead`, ...points.map((point) => [point.seriesName, price(point.value)])]),
      yAxis: axis(ink, { type: "value" }),
      series: [line("CRPS of the model", "mean_crps", ink.accent), line("CRPS of “the price stays”", "mean_naive_crps", ink.muted)],
    }));
  }

  async function listBefore(signal) {
    const { forecasts } = await get("/api/v1/forecasts", { symbol: controls.symbol.value.trim() || null, limit: 50 }, signal);
    before.replaceChildren(...forecasts.map((each) => h("tr", { "data-row": each.forecast_id, onclick: () => openKept(each.forecast_id) },
      h("td", null, h("button.cell-button", null, moment(each.made_at, "minute"))), h("td", null, each.made_by), h("td", null, `${each.steps} × ${each.timeframe}`),
      h("td", null, amount(each.paths)), h("td", null, signed(each.drift * 100, 0, " %")), h("td", null, `${(each.volatility * 100).toFixed(0)} %`))));
  }

  async function openKept(id) {
    asking.abort();
    asking = new AbortController();
    try {
      const { forecasts: [forecast] } = await get(`/api/v1/forecasts/${id}`, null, asking.signal);
      await show(forecast, asking.signal);
    } catch (error) {
      if (error.name !== "AbortError") { problem.hidden = false; problem.textContent = error.text ?? error.message; }
    }
  }

  if (!controls.symbol.value) {
    const newest = async () => (await get("/api/v1/latest", { limit: 2000, time: "ms" })).latest.sort((a, b) => b.ts - a.ts)[0]?.symbol;
    controls.symbol.value = localStorage.getItem("tapedeck.symbol") ?? await newest() ?? "";
  }
  describe();
  search();
  controls.symbol.addEventListener("change", () => { soon(); listBefore().catch(() => {}); });
  await Promise.all([run(), listBefore()]);

  return {
    close() {
      asking.abort();
      for (const chart of Object.values(charts)) chart.end();
    },
  };
}

// SPDX-License-Identifier: Apache-2.0
// The libraries of charts, fetched when a page needs them, and the colours that they share with the styles.

const LIBRARY = "/console/lib";
const loading = new Map();

/** Runs a classic script once. */
export function script(path) {
  if (!loading.has(path)) {
    loading.set(path, new Promise((loaded, failed) => {
      const element = document.createElement("script");
      element.src = `${LIBRARY}/${path}`;
      element.onload = loaded;
      element.onerror = () => {
        loading.delete(path);
        failed(new Error(`${LIBRARY}/${path} is not there: deploy/install-console installs it`));
      };
      document.head.append(element);
    }));
  }
  return loading.get(path);
}

/** Lightweight Charts. */
export async function candles() {
  await script("lightweight-charts.js");
  return window.LightweightCharts;
}

/** Apache ECharts. */
export async function echarts() {
  return (await import(`${LIBRARY}/echarts/index.js`)).echarts;
}

/** The colours of the styles as canvases take them. */
export function colours() {
  const probe = document.createElement("span");
  probe.hidden = true;
  document.body.append(probe);
  const read = (name) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const names = ["text", "muted", "line", "panel", "ground", "accent", "up", "down", "blue", "violet", "teal", "yellow"];
  const found = Object.fromEntries(names.map((name) => [name, read(name)]));
  probe.remove();
  return found;
}

/** The colour with an opacity. */
export function fade(colour, opacity) {
  const [red, green, blue] = colour.match(/[\d.]+/g);
  return `rgba(${red}, ${green}, ${blue}, ${opacity})`;
}

/** The font that canvases take. */
export const FONT = "ui-sans-serif, system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";

/** Calls `action` whenever the colours change; returns what ends it. */
export function whenColoursChange(action) {
  const media = matchMedia("(prefers-color-scheme: dark)");
  media.addEventListener("change", action);
  window.addEventListener("coloursChanged", action);
  return () => {
    media.removeEventListener("change", action);
    window.removeEventListener("coloursChanged", action);
  };
}

/**
 * A chart of ECharts in `element`: `show(makeOption)` draws `makeOption(colours)`, and again with each change of size or
 * colours. Tooltips are elements without styles of their own, as the page's policy wants it.
 */
export class Chart {
  #option = null;
  #ended = false;

  constructor(element, label) {
    this.element = element;
    element.setAttribute("role", "img");
    if (label) element.setAttribute("aria-label", label);
    this.observer = new ResizeObserver(() => this.instance?.resize());
    this.observer.observe(element);
    this.forget = whenColoursChange(() => this.#draw());
    this.ready = echarts().then((library) => {
      if (this.#ended) return;
      this.instance = library.init(element, null, { renderer: "canvas" });
      this.#draw();
    });
  }

  show(makeOption) {
    this.#option = makeOption;
    this.#draw();
  }

  #draw() {
    if (!this.instance || !this.#option) return;
    const ink = colours();
    const base = {
      animation: false,
      useUTC: true,
      backgroundColor: "transparent",
      textStyle: { fontFamily: FONT, color: ink.muted },
      grid: { left: 8, right: 12, top: 28, bottom: 8, outerBoundsMode: "same", outerBoundsContain: "axisLabel" },
    };
    this.instance.setOption({ ...base, ...this.#option(ink) }, { notMerge: true });
  }

  end() {
    this.#ended = true;
    this.forget();
    this.observer.disconnect();
    this.instance?.dispose();
  }
}

/** An axis in the page's colours. */
export function axis(ink, more = {}) {
  return {
    axisLine: { lineStyle: { color: ink.line } },
    axisTick: { show: false },
    axisLabel: { color: ink.muted, fontSize: 11, hideOverlap: true },
    splitLine: { lineStyle: { color: ink.line, opacity: 0.6 } },
    nameTextStyle: { color: ink.muted, fontSize: 11 },
    ...more,
  };
}

/** A tooltip whose lines are elements: `[[name, text], …]` below a title. */
export function tip(ink, describe) {
  return {
    trigger: "axis",
    appendTo: "body",
    className: "tip",
    backgroundColor: ink.panel,
    borderColor: ink.line,
    textStyle: { color: ink.text, fontSize: 12 },
    axisPointer: { lineStyle: { color: ink.muted, type: "dashed" } },
    formatter: (points) => {
      const [title, ...rows] = describe(points);
      const box = document.createElement("div");
      const head = document.createElement("strong");
      head.textContent = title;
      box.append(head);
      for (const [name, text] of rows) {
        const row = document.createElement("div");
        row.className = "tip-row";
        for (const part of [name, text]) {
          const cell = document.createElement("span");
          cell.textContent = part;
          row.append(cell);
        }
        box.append(row);
      }
      return box;
    },
  };
}

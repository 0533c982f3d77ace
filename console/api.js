// SPDX-License-Identifier: Apache-2.0
// The server's interface, the same that every client has: openapi/openapi.yaml.

/** An answer that says no. */
export class APIError extends Error {
  constructor(status, body) {
    super(body.message || `the server answered ${status}`);
    this.status = status;
    Object.assign(this, { code: body.code, details: body.details, hint: body.hint, position: body.position });
  }

  /** The whole of it, for people. */
  get text() {
    return [this.message, this.details, this.hint].filter(Boolean).join("\n");
  }
}

const KEY = "tapedeck.key";

/** The API key, kept for this tab only. */
export const key = {
  get: () => sessionStorage.getItem(KEY),
  set(value) {
    if (value) sessionStorage.setItem(KEY, value);
    else sessionStorage.removeItem(KEY);
  },
};

/** Told of when a request was refused for want of a key. */
export const events = new EventTarget();

function address(path, parameters) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters ?? {})) if (value != null && value !== "") query.set(name, value);
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

/** The response to a request; throws `APIError` if the server refuses it, and `TypeError` if it cannot be reached. */
export async function request(path, { parameters, method = "GET", body, accept, signal, headers } = {}) {
  const all = { ...headers };
  if (accept) all.Accept = accept;
  if (key.get()) all.Authorization = `Bearer ${key.get()}`;
  if (body !== undefined && typeof body !== "string") {
    all["Content-Type"] = "application/json";
    body = JSON.stringify(body);
  }
  const response = await fetch(address(path, parameters), { method, body, headers: all, signal, credentials: "omit" });
  if (response.ok) return response;
  const text = await response.text();
  let said;
  try { said = JSON.parse(text); } catch { said = { message: text || response.statusText }; }
  const error = new APIError(response.status, said);
  if (error.status === 401) events.dispatchEvent(new CustomEvent("refused", { detail: error }));
  throw error;
}

/** The JSON of a GET. */
export async function get(path, parameters, signal) {
  return (await request(path, { parameters, signal, accept: "application/json" })).json();
}

/** Rows of a statement as objects. */
export async function query(text, params, signal) {
  const body = { query: text, params: params ?? [], format: "objects" };
  return (await request("/api/v1/sql", { method: "POST", body, signal })).json();
}

/** The lines of a response as they come, in arrays of those that came together. */
export async function* lines(response) {
  const decoder = new TextDecoder();
  const reader = response.body.getReader();
  let rest = "";
  try {
    while (true) {
      const { done, value } = await reader.read();
      rest += decoder.decode(value, { stream: !done });
      const all = rest.split("\n");
      rest = all.pop();
      if (all.length) yield all;
      if (done) break;
    }
    if (rest) yield [rest];
  } finally {
    reader.cancel().catch(() => {});
  }
}

const RETRIES = [500, 1000, 2000, 5000, 10_000];

/**
 * Follows a stream of server-sent events until `stop` is called, and takes it up again where it broke off.
 * EventSource could not send a key.
 *
 * @param handlers what to do with each event by its name, with `state` told `live`, `waiting`, or why not.
 */
export function follow(path, parameters, handlers) {
  const controller = new AbortController();
  let last = null;
  let tries = 0;

  async function listen() {
    const headers = last ? { "Last-Event-ID": last } : {};
    const response = await request(path, { parameters, signal: controller.signal, accept: "text/event-stream", headers });
    let name = "message";
    let data = [];
    for await (const batch of lines(response)) {
      for (const line of batch) {
        if (line === "") {
          if (data.length) {
            tries = 0;
            handlers.state?.("live");
            handlers[name]?.(JSON.parse(data.join("\n")));
          }
          name = "message";
          data = [];
        } else if (line.startsWith("data:")) data.push(line.slice(5).trimStart());
        else if (line.startsWith("event:")) name = line.slice(6).trim();
        else if (line.startsWith("id:")) last = line.slice(3).trim();
      }
    }
  }

  (async () => {
    while (!controller.signal.aborted) {
      try {
        await listen();
      } catch (error) {
        if (controller.signal.aborted) return;
        if (error instanceof APIError && error.status < 500 && error.status !== 429) return handlers.state?.(error.message);
      }
      handlers.state?.("waiting");
      await new Promise((resume) => setTimeout(resume, RETRIES[Math.min(tries++, RETRIES.length - 1)]));
    }
  })();
  return () => controller.abort();
}

/** Asks every so often while the page is seen; returns what ends it. */
export function poll(action, milliseconds) {
  let timer;
  let ended = false;
  const controller = new AbortController();
  async function turn() {
    if (document.visibilityState === "visible") {
      try { await action(controller.signal); } catch (error) { if (!ended) console.debug(error.message); }
    }
    if (!ended) timer = setTimeout(turn, milliseconds);
  }
  turn();
  return () => {
    ended = true;
    clearTimeout(timer);
    controller.abort();
  };
}

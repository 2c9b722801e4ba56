// The service beside this page. Addresses are made here and are relative to the page, so that they stay on its own host,
// whatever a document says and under whatever path a proxy shows the service.

const KEY = "geoseg-key";
const BASE = new URL(".", document.baseURI);
const WAIT_MS = [1000, 2000, 5000, 10000];

export class Problem extends Error {
  constructor(status, document = {}) {
    const first = (document.errors || [])[0] || {};
    super(document.detail || document.title || `The service answered ${status}.`);
    this.status = status;
    this.given = first.given;
    this.expected = first.expected;
    this.hint = first.hint || document.hint;
  }
}

export const addressOf = (path) => new URL(path, BASE).href;
export const key = () => sessionStorage.getItem(KEY) || localStorage.getItem(KEY) || "";

/** Use an API key from now on: until this tab is closed, or in this browser. */
export function useKey(text, keep) {
  sessionStorage.removeItem(KEY);
  localStorage.removeItem(KEY);
  if (text) (keep ? localStorage : sessionStorage).setItem(KEY, text);
}

/** Headers with the key, for addresses of the service and for no others. */
export function headersFor(address) {
  return key() && new URL(address, BASE).href.startsWith(BASE.href) ? { Authorization: `Bearer ${key()}` } : {};
}

async function answer(path, options = {}) {
  let response;
  try {
    response = await fetch(addressOf(path), { ...options, headers: { ...headersFor(path), ...options.headers } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { detail: "The service does not answer.", hint: "Is it still running?" });
  }
  if (response.ok) return response;
  throw new Problem(response.status, await response.json().catch(() => ({})));
}

export async function get(path, options) {
  return (await answer(path, options)).json();
}

export async function post(path, body, headers = {}) {
  const all = { "Content-Type": "application/json", ...headers };
  return (await answer(path, { method: "POST", body: JSON.stringify(body), headers: all })).json();
}

export async function remove(path) {
  return (await answer(path, { method: "DELETE" })).json();
}

/** A file as an object of the browser, for a download that needs the key in a header. */
export async function file(path) {
  return (await answer(path)).blob();
}

/** Follow server-sent events until `onEvent` gives true, or the signal ends it; comes back after a lost connection. */
export async function follow(path, onEvent, signal) {
  for (let tries = 0; !signal.aborted; tries += 1) {
    try {
      const response = await answer(path, { signal, headers: { Accept: "text/event-stream" } });
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = "";
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        tries = 0;
        text += part.value;
        const events = text.split(/\r?\n\r?\n/);
        text = events.pop();
        for (const event of events) {
          const data = event.split(/\r?\n/).filter((line) => line.startsWith("data:"));
          if (data.length && onEvent(JSON.parse(data.map((line) => line.slice(5)).join("\n")))) {
            await reader.cancel();
            return;
          }
        }
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error.status >= 400 && error.status < 500 && error.status !== 429) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, WAIT_MS[Math.min(tries, WAIT_MS.length - 1)]));
  }
}

/** A name that a request keeps when it is sent twice. */
export function randomName() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

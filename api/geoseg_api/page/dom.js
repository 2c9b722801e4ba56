// Elements from words. Text is always text: nothing here, and nothing on this page, turns a string into markup.

const PROPERTIES = new Set(["value", "checked", "disabled", "hidden", "open", "selected", "indeterminate"]);

export const byId = (id) => document.getElementById(id);

/** An element with attributes (or `onEVENT` listeners) and children; children that are strings become text. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (PROPERTIES.has(name)) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined).map(asNode));
  return element;
}

const asNode = (child) => (child instanceof Node ? child : document.createTextNode(String(child)));

/** Put these in the place of whatever was in the element. */
export function fill(element, ...children) {
  element.replaceChildren(...children.filter((child) => child !== null && child !== undefined).map(asNode));
}

/** What went wrong, as three lines at most. */
export function problemLines(problem) {
  const words = [problem.given || problem.message, problem.expected && `Expected: ${problem.expected}`, problem.hint];
  return make("div", { class: "problem" }, ...words.filter(Boolean).map((line) => make("p", {}, line)));
}

/** A number with at most three significant digits, grouped as the reader is used to. */
export function number(value, digits = 3) {
  return Number(value).toLocaleString(undefined, { maximumSignificantDigits: digits });
}

export function area(squareMetres) {
  if (squareMetres >= 1e6) return `${number(squareMetres / 1e6)} km²`;
  return squareMetres >= 1e4 ? `${number(squareMetres / 1e4)} ha` : `${number(squareMetres)} m²`;
}

export function duration(seconds) {
  if (seconds < 90) return `${number(Math.max(1, Math.round(seconds)))} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${number(seconds / 3600, 2)} h`;
}

export const bytes = (count) => (count >= 1e9 ? `${number(count / 1e9)} GB` : `${number(count / 1e6)} MB`);

export function moment(text) {
  const at = new Date(text);
  return Number.isNaN(at.getTime()) ? "" : at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

// Fields for the inputs of a process, made from its description: a workflow that is added to the service appears by itself.

import { make } from "./dom.js";

const HIDDEN = new Set(["aoi", "workflow"]); // the region is set on the map, the workflow by the list above
const FIRST = { change: ["before", "after"], prompt: ["prompt", "datetime"] }; // what most people want to say; the others are folded away
const RANGES = new Set(["datetime", "before", "after"]);
const SENTENCES = new Set(["prompt", "scenes", "scenes_before", "scenes_after"]); // whose commas mean something

/** Fields for a description, and a function that reads them: only what differs from what the workflow would do anyway. */
export function makeForm(description) {
  const fields = Object.entries(description.inputs || {})
    .filter(([name]) => !HIDDEN.has(name))
    .map(([name, input]) => makeField(name, input));
  const first = (FIRST[description.id] || ["datetime"]).map((name) => fields.find((field) => field.name === name)).filter(Boolean);
  const others = fields.filter((field) => !first.includes(field));
  const elements = first.map((field) => field.element);
  if (others.length) {
    const more = make("details", {}, make("summary", {}, "More inputs"), ...others.map((field) => field.element));
    elements.push(more);
  }
  const read = () => Object.fromEntries(fields.map((f) => [f.name, f.read()]).filter(([, value]) => value !== undefined));
  return { elements, read };
}

function makeField(name, input) {
  const id = `input-${name}`;
  const schema = plainSchema(input.schema || {});
  const isList = input.maxOccurs === "unbounded" || input.maxOccurs > 1;
  const label = capital(input.title || name.replaceAll("_", " "));
  const field = { id, name, label, schema, hint: input.description || "", fallback: defaultOf(input) };
  if (RANGES.has(name)) return makeRange(field);
  if (isList) return schema.enum ? makeChoices(field) : makeWords(field);
  if (schema.enum) return makeChoice(field);
  if (schema.type === "boolean") return makeSwitch(field);
  return schema.type === "object" ? makeDocument(field) : makeText(field);
}

/** The schema without the null that optional fields carry. */
function plainSchema(schema) {
  const options = (schema.anyOf || []).filter((option) => option.type !== "null");
  return options.length === 1 ? { ...schema, ...options[0] } : schema;
}

function defaultOf(input) {
  const found = (input.schema || {}).default ?? input.default;
  return found === undefined || found === null ? undefined : found;
}

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

function wrapped(field, control, read) {
  const hint = field.hint ? make("small", { id: `${field.id}-hint` }, field.hint) : null;
  if (hint) control.setAttribute("aria-describedby", hint.id);
  const element = make("div", { class: "field" }, make("label", { for: field.id }, field.label), control, hint);
  return { name: field.name, element, read };
}

function makeText(field) {
  const isNumber = field.schema.type === "number" || field.schema.type === "integer";
  const start = field.fallback === undefined ? "" : String(field.fallback);
  const type = isNumber ? { type: "number", step: "any", min: field.schema.minimum } : { type: "text", spellcheck: "false" };
  const control = make("input", { id: field.id, value: start, ...type });
  return wrapped(field, control, () => {
    const text = control.value.trim();
    if (text === start || !text) return undefined;
    return isNumber ? Number(text) : text;
  });
}

function makeWords(field) {
  const isLines = SENTENCES.has(field.name);
  const start = (field.fallback || []).join(isLines ? "\n" : ", ");
  const control = make("textarea", { id: field.id, rows: isLines ? "3" : "2", spellcheck: "false" });
  control.value = start;
  const hint = `${field.hint} ${isLines ? "One in each line." : "Several are separated by commas or lines."}`.trim();
  const parts = (text) => text.split(isLines ? "\n" : /[,\n]/).map((word) => word.trim()).filter(Boolean);
  return wrapped({ ...field, hint }, control, () => {
    const words = parts(control.value);
    return words.join() === parts(start).join() || !words.length ? undefined : words;
  });
}

/** JSON as text; what is none is sent as it is, and the service says what is wrong with it. */
function makeDocument(field) {
  const control = make("textarea", { id: field.id, rows: "2", spellcheck: "false" });
  return wrapped(field, control, () => {
    const text = control.value.trim();
    try {
      return text ? JSON.parse(text) : undefined;
    } catch {
      return text;
    }
  });
}

function makeChoice(field) {
  const none = field.fallback === undefined ? [make("option", { value: "" }, "—")] : [];
  const options = field.schema.enum.map((value) => make("option", { value }, value));
  const control = make("select", { id: field.id }, ...none, ...options);
  control.value = field.fallback ?? "";
  return wrapped(field, control, () => {
    return control.value === String(field.fallback ?? "") ? undefined : control.value;
  });
}

function makeChoices(field) {
  const start = field.fallback || [];
  const boxes = field.schema.enum.map((value) => make("input", { type: "checkbox", value, checked: start.includes(value) }));
  const labels = boxes.map((box) => make("label", { class: "check" }, box, ` ${box.value}`));
  const hint = field.hint ? make("small", {}, field.hint) : null;
  const element = make("fieldset", { class: "field" }, make("legend", {}, field.label), ...labels, hint);
  return {
    name: field.name,
    element,
    read: () => {
      const chosen = boxes.filter((box) => box.checked).map((box) => box.value);
      return chosen.join() === start.join() ? undefined : chosen;
    },
  };
}

function makeSwitch(field) {
  const control = make("input", { type: "checkbox", id: field.id, checked: field.fallback === true });
  const hint = field.hint ? make("small", {}, field.hint) : null;
  const element = make("div", { class: "field" }, make("label", { class: "check" }, control, ` ${field.label}`), hint);
  const read = () => (control.checked === (field.fallback === true) ? undefined : control.checked);
  return { name: field.name, element, read };
}

/** Two dates for a time range `START/END`. */
function makeRange(field) {
  const start = typeof field.fallback === "string" ? field.fallback : "";
  const days = start.split("/").map((part) => part.slice(0, 10));
  const controls = ["first day", "last day"].map((words, index) =>
    make("input", { type: "date", id: index ? `${field.id}-end` : field.id, "aria-label": `${field.label}, ${words}` }),
  );
  controls.forEach((control, index) => {
    control.value = days[index] || "";
  });
  const title = field.name === "datetime" ? "Dates" : field.label;
  const usual = field.name === "datetime" && !start ? "Left empty: the last twelve complete months." : "";
  const element = make(
    "fieldset",
    { class: "field" },
    make("legend", {}, title),
    make("div", { class: "row" }, controls[0], make("span", {}, "to"), controls[1]),
    usual ? make("small", {}, usual) : null,
  );
  const read = () => {
    const range = controls.map((control) => control.value).join("/");
    return range === "/" || range === days.join("/") ? undefined : range;
  };
  return { name: field.name, element, read };
}

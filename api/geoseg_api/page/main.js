// Puts the page together: the region, what to make of it, and the jobs.

import { get, post, key, randomName, useKey } from "./api.js";
import { AreaError, areaOf, boundsOf, geometryOf, inputOf, readArea, readAreaFile } from "./area.js";
import { area, byId, bytes, duration, fill, make, number, problemLines } from "./dom.js";
import { Drawing } from "./draw.js";
import { makeForm } from "./form.js";
import { Jobs } from "./jobs.js";
import { goTo, makeMap, show } from "./map.js";
import { Swipe } from "./swipe.js";

const USUAL = "landcover"; // the workflow that `geoseg run` takes where none is named
const titles = new Map();
let map = null;
let region = null;
let form = null;
let jobs = null;
let choices = 0;
let isBusy = false;

function notice(...content) {
  fill(byId("notice"), ...content);
  byId("notice").hidden = !content.length;
}

function setRegion(found) {
  region = found;
  const geometry = found && geometryOf(found);
  show(map, "area", geometry);
  byId("area-clear").hidden = !found;
  byId("area-said").textContent = found ? `Region of about ${area(areaOf(geometry))}.` : "No region yet.";
  byId("area-said").classList.remove("wrong");
  if (found) goTo(map, boundsOf(geometry));
  byId("area-text").value = found?.bbox ? found.bbox.join(", ") : "";
  fill(byId("plan-said"));
}

async function tryRegion(read) {
  try {
    setRegion(await read());
  } catch (error) {
    if (!(error instanceof AreaError)) throw error;
    byId("area-said").textContent = error.message;
    byId("area-said").classList.add("wrong");
  }
}

function listenForRegions() {
  const drawing = new Drawing(map, setRegion);
  byId("draw-box").addEventListener("click", () => drawing.start("box"));
  byId("draw-polygon").addEventListener("click", () => drawing.start("polygon"));
  byId("area-clear").addEventListener("click", () => setRegion(null));
  byId("area-file").addEventListener("change", (event) => {
    const [file] = event.target.files;
    if (file) tryRegion(() => readAreaFile(file));
    event.target.value = "";
  });
  byId("area-form").addEventListener("submit", (event) => {
    event.preventDefault();
    tryRegion(() => readArea(byId("area-text").value));
  });
  byId("area-text").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      byId("area-form").requestSubmit();
    }
  });
  const drop = (isOver) => (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    byId("drop").hidden = !isOver;
  };
  document.addEventListener("dragover", drop(true));
  document.addEventListener("dragleave", (event) => event.relatedTarget || drop(false)(event));
  document.addEventListener("drop", (event) => {
    drop(false)(event);
    const [file] = event.dataTransfer?.files || [];
    if (file) tryRegion(() => readAreaFile(file));
  });
}

async function loadProcesses() {
  const { processes } = await get("processes?limit=1000");
  const known = processes.filter(({ id }) => id !== "echo");
  for (const { id, title } of known) titles.set(id, title || id);
  fill(byId("process"), ...known.map(({ id }) => make("option", { value: id }, titles.get(id))));
  if (titles.has(USUAL)) byId("process").value = USUAL;
  byId("process").addEventListener("change", () => chooseProcess().catch(tell));
  if (known.length) await chooseProcess();
}

async function chooseProcess() {
  choices += 1;
  const choice = choices;
  form = null; // the fields on the page are those of another process
  enableButtons();
  const description = await get(`processes/${encodeURIComponent(byId("process").value)}`);
  if (choice !== choices) return; // chosen anew meanwhile: what was typed since stays
  byId("process-words").textContent = description.description || "";
  form = makeForm(description);
  fill(byId("inputs"), ...form.elements);
  fill(byId("plan-said"));
  enableButtons();
}

function enableButtons() {
  for (const button of [byId("plan"), byId("run")]) button.disabled = isBusy || !form;
}

function request() {
  const inputs = form.read();
  if (region) inputs.aoi = inputOf(region);
  return { inputs };
}

/** Do something for the form: its buttons wait meanwhile, and what goes wrong is said below them. */
async function busy(words, work) {
  isBusy = true;
  enableButtons();
  fill(byId("plan-said"), make("p", { class: "quiet" }, words));
  try {
    await work();
  } catch (error) {
    fill(byId("plan-said"), problemLines(error));
    if (error.status === 401) askForKey();
  } finally {
    isBusy = false;
    enableButtons();
  }
}

async function showPlan() {
  const plan = await post(`processes/${encodeURIComponent(byId("process").value)}/plan`, request());
  const forecast = plan.forecast || {};
  const rows = [
    ["Area", plan.km2 === undefined ? null : area(plan.km2 * 1e6)],
    ["Scenes", plan.scenes?.length],
    ["Pixels", plan.megapixels === undefined ? null : `${number(plan.megapixels)} million, in ${plan.tiles} tiles`],
    ["Time", forecast.wall_s ? `about ${duration(forecast.wall_s)}` : "not known before the first map on this machine"],
    ["To read", forecast.read_bytes ? bytes(forecast.read_bytes) : null],
    ["Memory", forecast.peak_bytes ? bytes(forecast.peak_bytes) : null],
    ["Cost", typeof forecast.cost === "number" ? number(forecast.cost) : null],
    ["Model", plan.model ? `${plan.model.name}${plan.model.licence ? ` (${plan.model.licence})` : ""}` : null],
    ["Weights", plan.weights && !plan.weights.here ? `are fetched first: ${bytes(plan.weights.size_bytes || 0)}` : null],
  ].filter(([, value]) => value !== null && value !== undefined);
  const table = rows.map(([name, value]) => make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, String(value))));
  const notes = (plan.notes || []).map((text) => make("li", {}, text));
  const list = notes.length ? make("ul", { id: "plan-notes" }, ...notes) : null;
  fill(byId("plan-said"), make("table", { id: "plan-table" }, ...table), list);
  if (!region && plan.inputs?.aoi) setOwnRegion(plan.inputs.aoi);
}

/** The region that a workflow brings along is shown, and asked for as it is. */
function setOwnRegion(geojson) {
  const geometry = geometryOf({ geojson });
  show(map, "area", geometry);
  byId("area-said").textContent = `The workflow's own region, of about ${area(areaOf(geometry))}.`;
  goTo(map, boundsOf(geometry));
}

async function start() {
  const path = `processes/${encodeURIComponent(byId("process").value)}/execution`;
  const headers = { Prefer: "respond-async", "Idempotency-Key": randomName() };
  const job = await post(path, request(), headers);
  fill(byId("plan-said"));
  await jobs.load();
  jobs.open(job.jobID);
}

function askForKey() {
  byId("key").hidden = false;
  byId("key-text").focus();
}

function tell(error) {
  notice(problemLines(error));
  if (error.status === 401) askForKey();
}

async function load() {
  try {
    await loadProcesses();
    await jobs.load();
    jobs.openNamed();
    notice();
  } catch (error) {
    tell(error);
  }
}

async function begin() {
  const config = await get("page/config.json");
  if (!config.built) {
    notice("The map cannot be shown: its library is not in this checkout. Get it with “make page” and reload.");
    return;
  }
  const library = await import("./vendor/maplibre-gl.mjs");
  map = await makeMap(library, byId("map"), { basemap: config.basemap });
  jobs = new Jobs(map, new Swipe(library, map), titles);
  listenForRegions();
  byId("to-map").addEventListener("click", () => map.getCanvas().focus());
  byId("plan").addEventListener("click", () => busy("Looking at what that takes …", showPlan));
  byId("what").addEventListener("submit", (event) => {
    event.preventDefault();
    busy("Asking for it …", start);
  });
  byId("key").addEventListener("submit", (event) => {
    event.preventDefault();
    useKey(byId("key-text").value.trim(), byId("key-keep").checked);
    byId("key-text").value = "";
    byId("key").hidden = true;
    load();
  });
  if (config.keys && !key()) askForKey();
  else await load();
}

begin().catch(tell);

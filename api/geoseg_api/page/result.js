// A finished map: its layers, legend and areas, the numbers of a polygon, the files.

import { file, get, addressOf, key } from "./api.js";
import { holds } from "./area.js";
import { area, byId, fill, make, number, problemLines } from "./dom.js";
import { goTo, setOpacity, show, showLayers } from "./map.js";

const NAMES = { classes: "Classes", confidence: "Confidence", entropy: "Entropy", margin: "Margin", none: "Imagery alone" };
const PICTURES = ["imagery", "before", "after"];
const LABELS = {
  name: "Class",
  code: "Code",
  area_m2: "Area",
  confidence_mean: "Mean confidence",
  confidence_p10: "Confidence, lowest tenth",
  pixels: "Pixels",
};
const OFTEN = ["masks", "polygons", "classes", "confidence", "areas", "page", "item"]; // what people fetch first

/** Shows one finished job; `stop` takes it from the map. */
export class Result {
  #map;
  #swipe;
  #id;
  #layers = [];
  #state = { overlay: "classes", opacity: 0.7 };
  #asked = null;
  // A corner that is drawn is no question.
  #click = (event) => event.defaultPrevented || this.#ask(event.lngLat.toArray());

  constructor(map, swipe, id) {
    this.#map = map;
    this.#swipe = swipe;
    this.#id = id;
  }

  /** Fetch what there is, put it on the map, and give the elements for the panel. */
  async start() {
    const [{ layers }, report, results] = await Promise.all(
      ["tiles", "results/report", "results"].map((part) => get(`jobs/${this.#id}/${part}`)),
    );
    this.#layers = layers.map((layer) => ({
      ...layer,
      tiles: [`${addressOf("jobs/")}${this.#id}/tiles/${layer.id}/{z}/{x}/{y}.png`],
      smooth: PICTURES.includes(layer.id),
    }));
    const rank = ({ id }) => (PICTURES.includes(id) ? PICTURES.indexOf(id) : PICTURES.length); // what comes later lies above
    this.#layers.sort((a, b) => rank(a) - rank(b));
    showLayers(this.#map, this.#layers);
    this.#apply();
    if (this.#layers.length) goTo(this.#map, this.#layers[0].bounds);
    this.#map.on("click", this.#click);
    return [this.#controls(), legend(report), this.#middle(), downloads(this.#id, results), remarks(report)];
  }

  stop() {
    this.#asked?.abort();
    this.#map.off("click", this.#click);
    this.#swipe.stop();
    showLayers(this.#map, []);
    this.#forget();
  }

  #has = (id) => this.#layers.some((layer) => layer.id === id);

  #apply() {
    for (const { id } of this.#layers) {
      const isPicture = PICTURES.includes(id);
      setOpacity(this.#map, id, isPicture || id === this.#state.overlay ? (isPicture ? 1 : this.#state.opacity) : 0);
    }
  }

  #controls() {
    const overlays = this.#layers.map((layer) => layer.id).filter((id) => !PICTURES.includes(id));
    overlays.sort((a, b) => Object.keys(NAMES).indexOf(a) - Object.keys(NAMES).indexOf(b));
    const radios = [...overlays, "none"].map((id) => {
      const onchange = () => {
        this.#state.overlay = id;
        this.#apply();
      };
      const box = make("input", { type: "radio", name: "overlay", value: id, checked: id === this.#state.overlay, onchange });
      return make("label", { class: "check" }, box, ` ${NAMES[id] || id}`);
    });
    const oninput = (event) => {
      this.#state.opacity = Number(event.target.value) / 100;
      this.#apply();
    };
    const value = String(this.#state.opacity * 100);
    const slider = make("input", { id: "opacity", type: "range", min: "0", max: "100", value, oninput });
    return make(
      "div",
      { class: "field" },
      make("fieldset", { class: "choices" }, make("legend", {}, "Show"), ...radios),
      make("label", { for: "opacity" }, "Opacity"),
      slider,
      this.#swipeButton(),
    );
  }

  /** Before beside after where there are two dates; else the imagery beside the map on it. */
  #swipeButton() {
    const pictures = this.#has("before") && this.#has("after") ? ["before", "after"] : ["imagery", "imagery"];
    if (!this.#has(pictures[0])) return null;
    const words = pictures[0] === "before" ? ["Before", "After"] : ["Imagery", "Map"];
    const onclick = async () => {
      const isOn = button.getAttribute("aria-pressed") === "true";
      button.setAttribute("aria-pressed", String(!isOn));
      if (isOn) {
        this.#swipe.stop();
        this.#apply();
        return;
      }
      for (const { id } of this.#layers) setOpacity(this.#map, id, id === pictures[0] ? 1 : 0);
      const wanted = pictures[0] === "before" ? ["after"] : ["imagery", "classes"];
      await this.#swipe.start(this.#layers.filter((layer) => wanted.includes(layer.id)), ...words);
    };
    const text = `Compare ${words.join(" and ").toLowerCase()}`;
    const button = make("button", { type: "button", id: "compare", "aria-pressed": "false", onclick }, text);
    return button;
  }

  #middle() {
    const onclick = () => this.#ask(this.#map.getCenter().toArray());
    const hint = make("p", { class: "quiet" }, "Click a polygon on the map for its numbers, or:");
    return make("div", {}, hint, make("button", { type: "button", id: "middle", onclick }, "Polygon in the middle of the map"));
  }

  async #ask(point) {
    this.#asked?.abort();
    this.#asked = new AbortController();
    const { signal } = this.#asked;
    const [x, y] = [((((point[0] + 180) % 360) + 360) % 360) - 180, point[1]];
    try {
      const box = [x, y, x, y].map((degrees) => degrees.toFixed(7)).join();
      const found = await get(`collections/${this.#id}/items?limit=20&bbox=${box}`, { signal });
      const feature = found.features.find(({ geometry }) => holds(geometry, [x, y])) || found.features[0];
      if (!signal.aborted) this.#tell(feature);
    } catch (error) {
      if (!signal.aborted) this.#card(problemLines(error));
    }
  }

  #tell(feature) {
    show(this.#map, "polygon", feature ? feature.geometry : null);
    if (!feature) {
      this.#card(make("p", {}, "No polygon there."));
      return;
    }
    const { name, ...others } = feature.properties;
    const rows = Object.entries({ name, ...others }).filter(([label, value]) => label !== "class" && isShown(value));
    const lines = rows.map(([label, value]) => {
      const head = make("th", { scope: "row" }, LABELS[label] || label.replaceAll("_", " "));
      return make("tr", {}, head, make("td", {}, valueWords(label, value)));
    });
    this.#card(make("table", {}, ...lines));
  }

  #card(content) {
    const onclick = () => this.#forget();
    const close = make("button", { type: "button", class: "plain close", "aria-label": "Close", onclick }, "×");
    fill(byId("polygon"), close, content);
    byId("polygon").hidden = false;
  }

  #forget() {
    byId("polygon").hidden = true;
    show(this.#map, "polygon", null);
  }
}

const isShown = (value) => value !== null && value !== false && typeof value !== "object";

function valueWords(label, value) {
  if (typeof value !== "number") return String(value);
  if (label.endsWith("_m2")) return area(value);
  return label.startsWith("confidence") ? `${number(value)} %` : number(value, 6);
}

function legend(report) {
  const areas = new Map(report.areas.filter((row) => row.feature === "all").map((row) => [row.index, row]));
  const rows = report.classes
    .filter(({ index }) => areas.get(index)?.pixels > 0)
    .sort((a, b) => areas.get(b.index).share - areas.get(a.index).share)
    .map((one) => {
      const { area_m2: size, pixels, share } = areas.get(one.index);
      return make(
        "tr",
        {},
        make("th", { scope: "row", title: one.description || undefined }, swatch(one.colour), one.name),
        make("td", {}, size === null ? `${number(pixels, 6)} px` : area(size)),
        make("td", {}, `${(share * 100).toFixed(1)} %`),
      );
    });
  const head = make("tr", {}, ...["Class", "Area", "Share"].map((word) => make("th", { scope: "col" }, word)));
  return make("table", { id: "legend" }, make("thead", {}, head), make("tbody", {}, ...rows));
}

function swatch(colour) {
  const element = make("span", { class: "swatch", "aria-hidden": "true" });
  if (/^#[0-9a-f]{6}$/i.test(colour)) element.style.backgroundColor = colour;
  return element;
}

function downloads(id, results) {
  const rank = (name) => (OFTEN.indexOf(name) + 1 || OFTEN.length + 1);
  const names = Object.keys(results).filter((name) => results[name].href).sort((a, b) => rank(a) - rank(b));
  const pathOf = (name) => `jobs/${id}/results/${encodeURIComponent(name)}`;
  const links = names.map((name) => make("li", {}, download(pathOf(name), results[name].title || name)));
  return make("details", { open: true }, make("summary", {}, "Download"), make("ul", { id: "downloads" }, ...links));
}

/** A link; with an API key, which a link cannot send, the file is fetched first. */
function download(path, title) {
  if (!key()) return make("a", { href: addressOf(path), download: "" }, title);
  const onclick = async (event) => {
    event.preventDefault();
    const address = URL.createObjectURL(await file(path));
    const name = `${path.split("/")[1].slice(0, 8)}-${path.split("/").at(-1)}`;
    make("a", { href: address, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
  };
  return make("a", { href: addressOf(path), onclick }, title);
}

function remarks(report) {
  const all = [...(report.warnings || []), ...(report.notes || [])];
  if (!all.length) return null;
  const lines = all.map((text) => make("li", {}, text));
  return make("details", {}, make("summary", {}, `What to know (${all.length})`), make("ul", {}, ...lines));
}

// Two pictures of one place, one beside the other: a second map above the first, cut where the slider stands.

import { byId } from "./dom.js";
import { makeMap, showLayers } from "./map.js";

export class Swipe {
  #library;
  #main;
  #second = null;
  #slider = byId("swipe-at");

  constructor(library, main) {
    this.#library = library;
    this.#main = main;
    this.#slider.addEventListener("input", () => this.#cut());
    main.on("move", () => this.#follow());
  }

  /** Show these layers to the right of the slider; what the first map shows is to its left. */
  async start(layers, leftWords, rightWords) {
    this.stop();
    const element = document.createElement("div");
    element.className = "second";
    element.setAttribute("aria-hidden", "true");
    byId("map").after(element);
    this.#second = { element, map: null };
    const current = this.#second;
    current.map = await makeMap(this.#library, element, { controls: false });
    if (this.#second !== current) return; // stopped meanwhile
    showLayers(current.map, layers);
    byId("swipe-left").textContent = leftWords;
    byId("swipe-right").textContent = rightWords;
    byId("swipe").hidden = false;
    this.#follow();
    this.#cut();
  }

  stop() {
    byId("swipe").hidden = true;
    if (!this.#second) return;
    this.#second.map?.remove();
    this.#second.element.remove();
    this.#second = null;
  }

  #follow() {
    this.#second?.map?.jumpTo({ center: this.#main.getCenter(), zoom: this.#main.getZoom() });
  }

  #cut() {
    const percent = Number(this.#slider.value);
    this.#slider.setAttribute("aria-valuetext", `${percent} percent from the left`);
    if (this.#second) this.#second.element.style.clipPath = `inset(0 0 0 ${percent}%)`;
    byId("swipe").style.setProperty("--at", `${percent}%`);
  }
}

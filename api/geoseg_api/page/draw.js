// Drawing a box or an outline: with a mouse, with a finger, or with the keyboard, which sets corners at the cross in the
// middle of the map (arrow keys move the map beneath it).

import { unturned } from "./area.js";
import { byId } from "./dom.js";
import { show } from "./map.js";

const HINTS = {
  box: "Drag a box, or set two corners with a click or the space bar.",
  polygon: "Set the corners with clicks or the space bar; a double click or Enter finishes.",
};
const NEAR_PX = 12;
const DRAG_PX = 3; // what the map takes for a click moves no farther

/** Lets people draw on a map; `onDone` gets `{bbox}` or `{geojson}`. */
export class Drawing {
  #map;
  #onDone;
  #mode = null;
  #corners = [];
  #pointer = null;
  #pressed = null;

  constructor(map, onDone) {
    this.#map = map;
    this.#onDone = onDone;
    const canvas = map.getCanvas();
    for (const name of ["mousedown", "touchstart"]) map.on(name, (event) => this.#press(event));
    for (const name of ["mousemove", "touchmove"]) map.on(name, (event) => this.#move(event));
    for (const name of ["mouseup", "touchend"]) map.on(name, (event) => this.#release(event));
    map.on("click", (event) => this.#click(event));
    map.on("dblclick", () => this.#mode === "polygon" && this.#finish());
    canvas.addEventListener("keydown", (event) => this.#type(event), true);
    byId("drawing").addEventListener("keydown", (event) => event.key === "Escape" && this.stop());
    map.on("move", () => this.#draw());
    byId("draw-undo").addEventListener("click", () => this.#undo());
    byId("draw-finish").addEventListener("click", () => this.#finish());
    byId("draw-cancel").addEventListener("click", () => this.stop());
  }

  get isOn() {
    return this.#mode !== null;
  }

  /** Begin to draw a `box` or a `polygon`. */
  start(mode) {
    this.#mode = mode;
    this.#corners = [];
    this.#pointer = this.#pressed = null;
    this.#map.doubleClickZoom.disable();
    this.#map.boxZoom.disable();
    if (mode === "box") this.#map.dragPan.disable();
    this.#map.getCanvas().classList.add("drawing");
    byId("drawing-hint").textContent = HINTS[mode];
    byId("drawing").hidden = byId("cross").hidden = false;
    byId("draw-finish").hidden = mode === "box";
    this.#draw();
    this.#map.getCanvas().focus();
  }

  stop() {
    this.#mode = null;
    this.#corners = [];
    for (const part of ["doubleClickZoom", "boxZoom", "dragPan"]) this.#map[part].enable();
    this.#map.getCanvas().classList.remove("drawing");
    byId("drawing").hidden = byId("cross").hidden = true;
    show(this.#map, "draft", null);
    this.#map.getCanvas().focus();
  }

  #press(event) {
    if (!this.isOn || (event.points && event.points.length > 1)) return;
    this.#pressed = { point: event.point, at: event.lngLat.toArray() };
    if (this.#mode === "box" && event.originalEvent.cancelable) event.preventDefault();
  }

  #move(event) {
    if (!this.isOn) return;
    this.#pointer = event.lngLat.toArray();
    const isDragged = this.#pressed && this.#pressed.point.dist(event.point) > DRAG_PX;
    if (this.#mode === "box" && isDragged) this.#corners = [this.#pressed.at];
    this.#draw();
  }

  /** The end of a box that was dragged; what moved an outline's map is no corner. */
  #release(event) {
    if (!this.isOn || !this.#pressed) return;
    const { point, at } = this.#pressed;
    this.#pressed = null;
    if (this.#mode !== "box" || point.dist(event.point) <= DRAG_PX) return;
    this.#corners = [at];
    this.#set(event.lngLat.toArray());
  }

  #click(event) {
    if (!this.isOn) return;
    event.preventDefault();
    this.#set(event.lngLat.toArray());
  }

  #type(event) {
    if (!this.isOn) return;
    const keys = {
      " ": () => this.#set(this.#map.getCenter().toArray()),
      Enter: () => (this.#mode === "box" ? this.#set(this.#map.getCenter().toArray()) : this.#finish()),
      Backspace: () => this.#undo(),
      Escape: () => this.stop(),
    };
    if (!keys[event.key]) return;
    event.preventDefault();
    event.stopPropagation();
    keys[event.key]();
  }

  #set(corner) {
    const isNear = (other) => this.#map.project(other).dist(this.#map.project(corner)) < NEAR_PX;
    if (this.#mode === "polygon" && this.#corners.length > 2 && isNear(this.#corners[0])) return this.#finish();
    if (!this.#corners.length || !isNear(this.#corners.at(-1))) this.#corners.push(corner);
    if (this.#mode === "box" && this.#corners.length === 2) return this.#finish();
    this.#draw();
    return undefined;
  }

  #undo() {
    this.#corners.pop();
    this.#draw();
  }

  #finish() {
    if (this.#corners.length < (this.#mode === "box" ? 2 : 3)) return;
    const ring = unturned(this.#corners);
    const isBox = this.#mode === "box";
    this.stop();
    if (!isBox) {
      this.#onDone({ geojson: { type: "Polygon", coordinates: [[...ring, ring[0]]] } });
      return;
    }
    const [xs, ys] = [ring.map(([x]) => x).sort((a, b) => a - b), ring.map(([, y]) => y).sort((a, b) => a - b)];
    const turn = (x) => (x > 180 ? x - 360 : x < -180 ? x + 360 : x);
    this.#onDone({ bbox: [turn(xs[0]), ys[0], turn(xs[1]), ys[1]] });
  }

  #draw() {
    if (!this.isOn) return;
    const pointer = this.#pointer ?? this.#map.getCenter().toArray();
    const points = this.#corners.map((coordinates) => ({ type: "Point", coordinates }));
    show(this.#map, "draft", [...points, this.#shape([...this.#corners, pointer])]);
  }

  #shape(corners) {
    if (corners.length < 2) return null;
    if (this.#mode === "polygon" && corners.length === 2) return { type: "LineString", coordinates: corners };
    if (this.#mode === "polygon") return { type: "Polygon", coordinates: [[...corners, corners[0]]] };
    const [[x0, y0], [x1, y1]] = corners;
    return { type: "Polygon", coordinates: [[[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]] };
  }
}

// The map: a plain ground with a graticule, the region, and the layers of a finished job. It needs nothing but this host.

import { headersFor } from "./api.js";
import { boundsOf } from "./area.js";

const EMPTY = { type: "FeatureCollection", features: [] };
const STEPS = [30, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001];
const SCALE_PX = 140; // where the scale stands, in the corner
const LABEL_PX = { letter: 7, rim: 14, height: 24 }; // of the labels of the graticule, with room between two of them
const LINES = 5; // of the graticule across the picture, or a few more
const RASTERS_BELOW = "area-fill";
const POINT = { "circle-radius": 5, "circle-color": "#ffffff", "circle-stroke-color": "#b3261e", "circle-stroke-width": 2 };
const STILL = globalThis.matchMedia?.("(prefers-reduced-motion: reduce)").matches;

const lines = (id, paint) => ({ id, type: "line", source: id.split("-")[0], paint });

function styleOf(basemap) {
  const names = ["graticule", "area", "polygon", "draft"];
  const sources = Object.fromEntries(names.map((name) => [name, { type: "geojson", data: EMPTY }]));
  const layers = [{ id: "ground", type: "background", paint: { "background-color": "#e9eef2" } }];
  if (basemap) {
    sources.basemap = { type: "raster", tiles: [basemap.tiles], tileSize: 256, attribution: basemap.credit };
    layers.push({ id: "basemap", type: "raster", source: "basemap" });
  }
  layers.push(
    lines("graticule", { "line-color": "#9fb0bd", "line-width": 1 }),
    { id: "area-fill", type: "fill", source: "area", paint: { "fill-color": "#0b5cad", "fill-opacity": 0.1 } },
    lines("area-casing", { "line-color": "#ffffff", "line-width": 5 }),
    lines("area-line", { "line-color": "#0b5cad", "line-width": 2.5 }),
    lines("polygon-casing", { "line-color": "#ffffff", "line-width": 5 }),
    lines("polygon-line", { "line-color": "#111111", "line-width": 2 }),
    { id: "draft-fill", type: "fill", source: "draft", paint: { "fill-color": "#b3261e", "fill-opacity": 0.12 } },
    lines("draft-line", { "line-color": "#b3261e", "line-width": 2, "line-dasharray": [2, 1] }),
    { id: "draft-point", type: "circle", source: "draft", filter: ["==", ["geometry-type"], "Point"], paint: POINT },
  );
  return { version: 8, sources, layers };
}

/** A map in an element; `library` is MapLibre. */
export async function makeMap(library, element, { basemap, controls = true } = {}) {
  const map = new library.Map({
    container: element,
    style: styleOf(basemap),
    center: [10, 30],
    zoom: 1.2,
    attributionControl: false,
    dragRotate: false,
    pitchWithRotate: false,
    touchPitch: false,
    interactive: controls,
    transformRequest: (url) => ({ url, headers: headersFor(url) }),
  });
  map.touchZoomRotate?.disableRotation();
  map.keyboard?.disableRotation();
  if (controls) {
    map.addControl(new library.NavigationControl({ showCompass: false }), "top-right");
    map.addControl(new library.ScaleControl(), "bottom-right");
    if (basemap?.credit) map.addControl(new library.AttributionControl({ compact: true }), "bottom-right");
    tellState(map, element);
  }
  await new Promise((resolve) => map.once("load", resolve));
  addGraticule(map, element);
  return map;
}

/** Says in `data-state` whether anything is still being drawn. */
function tellState(map, element) {
  const say = (state) => () => {
    element.dataset.state = state;
  };
  for (const name of ["movestart", "dataloading", "render"]) map.on(name, say("busy"));
  map.on("idle", say("idle"));
}

function addGraticule(map, element) {
  const labels = document.createElement("div");
  labels.className = "degrees";
  labels.setAttribute("aria-hidden", "true");
  element.append(labels);
  const draw = () => {
    const { meridians, parallels, data } = graticule(map);
    map.getSource("graticule").setData(data);
    const south = map.unproject([0, element.clientHeight]).lat;
    const west = map.unproject([0, 0]).lng;
    const along = meridians.map((line) => ({ ...line, px: map.project([line.at, south]).x, text: words(turned(line.at), "E", "W") }));
    const up = parallels.map((line) => ({ ...line, px: map.project([west, line.at]).y, text: words(line.at, "N", "S") }));
    const room = LABEL_PX.letter * Math.max(0, ...along.map(({ text }) => text.length)) + LABEL_PX.rim;
    // Whole ones: none is cut by the rim, none lies in the corner of the scale, or where both rows meet.
    const across = thinned(along, room).filter(({ px }) => px > room / 2 && px < element.clientWidth - SCALE_PX);
    const lowest = element.clientHeight - 1.5 * LABEL_PX.height;
    const upward = thinned(up, LABEL_PX.height).filter(({ px }) => px > LABEL_PX.height / 2 && px < lowest);
    labels.replaceChildren(
      ...across.map(({ text, px }) => degreeLabel(text, { left: px }, "meridian")),
      ...upward.map(({ text, px }) => degreeLabel(text, { top: px }, "parallel")),
    );
  };
  map.on("move", draw);
  map.on("resize", draw);
  draw();
}

/** Every line, or every second, third, ... one, so that labels of this size stay apart; wherever the picture begins. */
function thinned(lines, room) {
  const least = Math.min(...lines.slice(1).map(({ px }, i) => Math.abs(px - lines[i].px)));
  const every = [1, 2, 3, 4, 5, 10, 20].find((n) => n * least >= room) ?? 40;
  return lines.filter(({ index }) => index % every === 0);
}

function degreeLabel(text, place, kind) {
  const label = document.createElement("span");
  label.className = kind;
  label.textContent = text;
  for (const [side, pixels] of Object.entries(place)) label.style[side] = `${pixels}px`;
  return label;
}

const turned = (longitude) => ((((longitude + 180) % 360) + 360) % 360) - 180;
const words = (degrees, plus, minus) => {
  const size = Number(Math.abs(degrees).toFixed(3));
  return `${size}°${size === 0 || size === 180 ? "" : degrees > 0 ? plus : minus}`;
};

function graticule(map) {
  const view = map.getBounds();
  const [west, east] = [view.getWest(), view.getEast()];
  const [south, north] = [Math.max(-85, view.getSouth()), Math.min(85, view.getNorth())];
  const step = STEPS.find((size) => Math.max(east - west, north - south) / size >= LINES) ?? STEPS.at(-1);
  const between = (low, high) => {
    const found = [];
    for (let i = Math.ceil(low / step); i * step <= high && found.length < 40; i += 1) found.push({ index: i, at: i * step });
    return found;
  };
  const [meridians, parallels] = [between(west, east), between(south, north)];
  const coordinates = [
    ...meridians.map(({ at }) => [[at, south], [at, north]]),
    ...parallels.map(({ at }) => [[west, at], [east, at]]),
  ];
  return { meridians, parallels, data: { type: "Feature", properties: {}, geometry: { type: "MultiLineString", coordinates } } };
}

/** Show a geometry under one of the names area, polygon, draft; `null` takes it away. */
export function show(map, name, geometry) {
  const features = (Array.isArray(geometry) ? geometry : [geometry]).filter(Boolean);
  const made = features.map((one) => ({ type: "Feature", properties: {}, geometry: one }));
  map.getSource(name).setData({ type: "FeatureCollection", features: made });
}

export function goTo(map, bounds) {
  const [west, south, east, north] = bounds;
  const room = Math.min(60, map.getContainer().clientWidth / 10);
  map.fitBounds([[west, south], [east, north]], { padding: room, maxZoom: 17, animate: !STILL, duration: 400 });
}

export const goToGeometry = (map, geometry) => goTo(map, boundsOf(geometry));

/** Put the layers of a job on the map in the place of those of another; each is `{id, tiles, bounds, minzoom, maxzoom}`. */
export function showLayers(map, layers) {
  for (const { id } of map.getStyle().layers.filter((layer) => layer.id.startsWith("job-"))) map.removeLayer(id);
  for (const id of Object.keys(map.getStyle().sources).filter((name) => name.startsWith("job-"))) map.removeSource(id);
  for (const layer of layers) {
    const { tiles, bounds, minzoom, maxzoom } = layer;
    map.addSource(`job-${layer.id}`, { type: "raster", tiles, tileSize: 256, bounds, minzoom, maxzoom });
    const paint = { "raster-resampling": layer.smooth ? "linear" : "nearest", "raster-fade-duration": 0 };
    map.addLayer({ id: `job-${layer.id}`, type: "raster", source: `job-${layer.id}`, paint }, RASTERS_BELOW);
  }
  map.setPaintProperty("area-fill", "fill-opacity", layers.length ? 0 : 0.1);
}

/** Show a layer with this opacity; 0 hides it. */
export function setOpacity(map, id, opacity) {
  if (!map.getLayer(`job-${id}`)) return;
  map.setLayoutProperty(`job-${id}`, "visibility", opacity > 0 ? "visible" : "none");
  map.setPaintProperty(`job-${id}`, "raster-opacity", opacity);
}

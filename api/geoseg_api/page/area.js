// Regions: from text and files, as what the service takes, and how large they are.

const EARTH_M = 6371007.2; // radius of the sphere with the Earth's area
const MOST_BYTES = 8 * 2 ** 20;

export class AreaError extends Error {}

/** A region from `west, south, east, north` or from GeoJSON. */
export function readArea(text) {
  const trimmed = text.trim();
  if (!trimmed) throw new AreaError("Type four numbers such as 14.4, 46.0, 14.6, 46.1, or GeoJSON.");
  if (!trimmed.startsWith("{")) return { bbox: readBox(trimmed) };
  let document;
  try {
    document = JSON.parse(trimmed);
  } catch {
    throw new AreaError("That is no JSON.");
  }
  if (!polygonsOf(document).length) throw new AreaError("There is no polygon in that GeoJSON.");
  return { geojson: document };
}

function readBox(text) {
  const box = text.split(/[\s,;]+/).map(Number);
  if (box.length !== 4 || !box.every(Number.isFinite)) {
    throw new AreaError("A box is four numbers: west, south, east, north, such as 14.4, 46.0, 14.6, 46.1.");
  }
  const [west, south, east, north] = box;
  if (south >= north || south < -90 || north > 90) throw new AreaError("South has to be below north, both from -90 to 90.");
  if (west === east || Math.abs(west) > 180 || Math.abs(east) > 180) {
    throw new AreaError("West and east have to differ, both from -180 to 180.");
  }
  return box;
}

/** A region from a file that was opened or dropped. */
export async function readAreaFile(file) {
  if (file.size > MOST_BYTES) throw new AreaError("That file is larger than 8 MB: simplify the region.");
  return readArea(await file.text());
}

/** All polygons of a GeoJSON document, each a list of rings. */
export function polygonsOf(node) {
  if (!node || typeof node !== "object") return [];
  if (node.type === "Polygon" && Array.isArray(node.coordinates)) return [node.coordinates];
  if (node.type === "MultiPolygon" && Array.isArray(node.coordinates)) return node.coordinates;
  if (node.type === "Feature") return polygonsOf(node.geometry);
  const parts = node.type === "FeatureCollection" ? node.features : node.type === "GeometryCollection" ? node.geometries : [];
  return (Array.isArray(parts) ? parts : []).flatMap(polygonsOf);
}

/** The region as a GeoJSON geometry to draw. A box across the 180th meridian goes on past it. */
export function geometryOf(region) {
  if (!region.bbox) return { type: "MultiPolygon", coordinates: polygonsOf(region.geojson) };
  const [west, south, end, north] = region.bbox;
  const east = end < west ? end + 360 : end;
  return { type: "Polygon", coordinates: [[[west, south], [east, south], [east, north], [west, north], [west, south]]] };
}

/** What the service takes as the input `aoi`. */
export const inputOf = (region) => (region.bbox ? { bbox: region.bbox } : region.geojson);

/** West, south, east, north of a geometry. */
export function boundsOf(geometry) {
  const box = [Infinity, Infinity, -Infinity, -Infinity];
  for (const ring of polygonsOf(geometry).flat()) {
    for (const [x, y] of ring) {
      box[0] = Math.min(box[0], x);
      box[1] = Math.min(box[1], y);
      box[2] = Math.max(box[2], x);
      box[3] = Math.max(box[3], y);
    }
  }
  return box;
}

/** Roughly the area in square metres, on a sphere: half a percent at most from that of the plan. */
export function areaOf(geometry) {
  const radians = Math.PI / 180;
  let total = 0;
  for (const rings of polygonsOf(geometry)) {
    rings.forEach((ring, index) => {
      let sum = 0;
      for (let i = 0; i + 1 < ring.length; i += 1) {
        const [x0, y0] = ring[i];
        const [x1, y1] = ring[i + 1];
        sum += (x1 - x0) * radians * (2 + Math.sin(y0 * radians) + Math.sin(y1 * radians));
      }
      total += (index === 0 ? 1 : -1) * Math.abs((sum * EARTH_M * EARTH_M) / 2);
    });
  }
  return total;
}

/** Longitudes of a drawn outline, shifted together by whole turns so that it begins on the usual map. */
export function unturned(ring) {
  const turns = Math.floor((ring[0][0] + 180) / 360) * 360;
  return ring.map(([x, y]) => [round(x - turns), round(Math.max(-90, Math.min(90, y)))]);
}

const round = (degrees) => Math.round(degrees * 1e6) / 1e6;

/** Whether a point lies in a geometry: an odd number of sides above it. */
export function holds(geometry, [x, y]) {
  return polygonsOf(geometry).some((rings) => {
    let inside = false;
    for (const ring of rings) {
      for (let i = 0, j = ring.length - 1; i < ring.length; j = i, i += 1) {
        const [[xi, yi], [xj, yj]] = [ring[i], ring[j]];
        if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) inside = !inside;
      }
    }
    return inside;
  });
}

"use strict";
(() => {
  const sheet = document.getElementById("map");
  const classes = document.getElementById("classes");
  if (!sheet || !classes) return;

  const slider = document.getElementById("opacity");
  const share = document.getElementById("opacity-value");
  const fade = () => {
    classes.setAttribute("opacity", slider.value / 100);
    share.textContent = `${slider.value} %`;
  };
  if (slider) {
    slider.addEventListener("input", fade);
    fade();
  }

  // The name of a class is found by its colour in the legend, so no data is needed here.
  const names = new Map();
  for (const row of document.querySelectorAll("[data-colour]")) {
    const known = names.get(row.dataset.colour);
    names.set(row.dataset.colour, known ? `${known} / ${row.dataset.name}` : row.dataset.name);
  }
  const corners = (sheet.dataset.corners || "").split(" ").filter(Boolean).map(Number);
  const readout = document.getElementById("readout");
  const picture = new Image();
  const canvas = document.createElement("canvas");
  let pixels = null;
  picture.addEventListener("load", () => {
    canvas.width = picture.naturalWidth;
    canvas.height = picture.naturalHeight;
    pixels = canvas.getContext("2d", { willReadFrequently: true });
    pixels.drawImage(picture, 0, 0);
  });
  picture.src = classes.href.baseVal;

  const between = (a, b, t) => a + (((b - a + 540) % 360) - 180) * t;
  const place = (u, v) => {
    if (corners.length !== 8) return "";
    const [ax, ay, bx, by, cx, cy, dx, dy] = corners;
    const lon = between(between(ax, bx, u), between(dx, cx, u), v);
    const lat = between(between(ay, by, u), between(dy, cy, u), v);
    return `${Math.abs(lat).toFixed(3)}° ${lat < 0 ? "S" : "N"}, ${Math.abs(lon).toFixed(3)}° ${lon < 0 ? "W" : "E"}`;
  };
  const point = sheet.createSVGPoint();
  sheet.addEventListener("pointermove", (event) => {
    if (!pixels) return;
    point.x = event.clientX;
    point.y = event.clientY;
    const at = point.matrixTransform(sheet.getScreenCTM().inverse());
    const box = sheet.viewBox.baseVal;
    const u = at.x / box.width;
    const v = at.y / box.height;
    if (u < 0 || v < 0 || u >= 1 || v >= 1) return;
    const [r, g, b, a] = pixels.getImageData(Math.floor(u * canvas.width), Math.floor(v * canvas.height), 1, 1).data;
    const colour = `#${[r, g, b].map((c) => c.toString(16).padStart(2, "0")).join("")}`;
    const name = document.createElement("b");
    name.textContent = a ? names.get(colour) || "" : "no data";
    readout.replaceChildren(name, place(u, v));
  });
})();

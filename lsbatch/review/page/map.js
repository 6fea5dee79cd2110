// The map: images of the survey, landslides as points and outlines, the divider between two images.
import * as data from "./data.js";

const $ = id => document.getElementById(id);
// Okabe and Ito, as in the QGIS style of the inventory.
const GRADES = {high: "#d55e00", medium: "#e69f00", low: "#f0e442"};
const OTHER = "#56b4e9", INK = "#1b2733", CHOSEN = "#00b7ff";
// Points below, outlines above.
const OUTLINE_ZOOM = 10.5;

export function loadScript() {
  return new Promise((done, failed) => {
    const style = document.createElement("link"), script = document.createElement("script");
    style.rel = "stylesheet";
    style.href = "maplibre-gl.css";
    script.src = "maplibre-gl.js";
    script.addEventListener("load", () => done(window.maplibregl));
    script.addEventListener("error", failed);
    document.head.append(style, script);
  });
}

const flag = (name, yes, no) => ["case", ["boolean", ["feature-state", name], false], yes, no];
// The state of the tile, unless a reviewer answered since.
const state = ["coalesce", ["feature-state", "state"], ["get", "state"]];
// By the state of a landslide: hidden by the filters, rejected, or else.
const seen = (plain, rejected) => ["case", ["boolean", ["feature-state", "hidden"], false], 0, ["==", state, "rejected"], rejected, plain];
const wide = (confirmed, plain) => ["case", ["==", state, "confirmed"], confirmed, plain];

function style(site) {
  const colour = ["match", ["get", "confidence"], ...Object.entries(GRADES).flat(), OTHER];
  const tiles = {outlines: {type: "vector", tiles: [data.outlines(0)], ...site.outlines}};
  if (site.areas) tiles.areas = {type: "geojson", data: data.areas};
  const outlined = {source: "outlines", "source-layer": "landslides", type: "line", minzoom: OUTLINE_ZOOM};
  const width = extra => ["interpolate", ["linear"], ["zoom"], 11, ["+", extra, flag("chosen", 3, wide(1.6, 1))], 16, ["+", extra, flag("chosen", 5, wide(3.5, 2.2))]];
  return {
    version: 8,
    sources: tiles,
    layers: [
      {id: "ground", type: "background", paint: {"background-color": "#e9edf0"}},
      ...(site.areas ? [{id: "areas", source: "areas", type: "line", paint: {"line-color": "#51606e", "line-width": 1.2, "line-dasharray": [4, 2]}}] : []),
      {id: "inside", source: "outlines", "source-layer": "landslides", type: "fill", minzoom: OUTLINE_ZOOM, paint: {"fill-color": "#000", "fill-opacity": 0.01}},
      {...outlined, id: "edge", paint: {"line-color": "#000", "line-width": width(2), "line-opacity": seen(0.75, 0.25)}},
      {...outlined, id: "outline", paint: {"line-color": flag("chosen", CHOSEN, colour), "line-width": width(0), "line-opacity": seen(1, 0.5)}},
      {id: "points", source: "outlines", "source-layer": "points", type: "circle", maxzoom: OUTLINE_ZOOM, paint: {
        "circle-color": flag("chosen", CHOSEN, colour),
        "circle-radius": ["interpolate", ["linear"], ["zoom"], 4, flag("chosen", 6, 2), 10, flag("chosen", 9, 4.5)],
        "circle-stroke-color": INK,
        "circle-stroke-width": flag("chosen", 2, wide(1.6, 0.6)),
        "circle-opacity": seen(1, 0.3), "circle-stroke-opacity": seen(1, 0.3),
      }},
    ],
  };
}

// The map, or null where the browser or the server has none; then the reason is said.
export async function createMap(site, page, script) {
  if (site.map) { page.said(site.map); return null; }
  let maplibre;
  try { maplibre = await script; } catch { page.said("The map could not be loaded."); return null; }
  const options = {bounds: site.bounds, fitBoundsOptions: {padding: 20}, attributionControl: false, dragRotate: false, pitchWithRotate: false, touchPitch: false, maxZoom: 19, fadeDuration: 0, renderWorldCopies: false};
  const sides = [], editions = new Map();
  let total = 0, columns = {}, visible = new Uint8Array(0), chosen = -1, isBusy = false, edition = 0;
  data.prepare(maplibre);
  try { sides.push(new maplibre.Map({container: "map", style: style(site), ...options})); }
  catch { page.said("This browser cannot draw maps: WebGL is off. The list, the images and the answers work without."); return null; }
  const main = sides[0];
  Object.assign(window, {lsbatchMap: main, lsbatchMaps: sides});
  main.touchZoomRotate.disableRotation();
  main.addControl(new maplibre.NavigationControl({showCompass: false}));
  main.addControl(new maplibre.ScaleControl({maxWidth: 120}));
  main.getCanvas().setAttribute("aria-label", "Map: arrow keys move it, plus and minus zoom");
  main.on("error", event => page.said(`Map: ${event.error && event.error.message || "an image cannot be read"}`));
  await new Promise(done => main.once("styledata", done));

  const layerOf = name => site.images.find(one => one.name === name);
  // Show an image below the outlines of a side; none if the name is empty.
  function image(side, name) {
    if (side.getLayer("image")) { side.removeLayer("image"); side.removeSource("image"); }
    const one = layerOf(name);
    if (!one) return;
    side.addSource("image", {type: "raster", tiles: [data.image(name)], tileSize: 512, minzoom: one.minzoom, maxzoom: one.maxzoom, bounds: site.bounds});
    side.addLayer({id: "image", type: "raster", source: "image", paint: {"raster-resampling": "nearest", "raster-fade-duration": 0}}, side.getLayer("areas") ? "areas" : "inside");
  }

  const LAYERS = ["points", "landslides"];
  const put = (i, state) => { for (const side of sides) for (const sourceLayer of LAYERS) side.setFeatureState({source: "outlines", sourceLayer, id: i}, state); };
  const told = new Set();
  function restate(rows) { for (const i of rows) { told.add(i); put(i, {state: page.stateOf(i)}); } }
  // What a second map does not know yet.
  function retell() {
    restate([...told]);
    visible.forEach((shown, i) => { if (!shown) put(i, {hidden: true}); });
    if (chosen >= 0) put(chosen, {chosen: true});
  }
  function retile(side) {
    if ((editions.get(side) || 0) !== edition) side.getSource("outlines").setTiles([data.outlines(edition)]);
    editions.set(side, edition);
  }

  function legend() {
    const left = layerOf($("beside").value), right = layerOf($("image").value);
    const parts = [...(left ? ["Left: ", left, "; right: "] : []), right, right || left ? ". Landslides:" : "Landslides:"];
    $("legend").replaceChildren(...parts.filter(Boolean).flatMap(part => typeof part === "string" ? [part] : described(part)), ...marks());
    const low = [$("image").value, $("beside").value].map(layerOf).filter(one => one && main.getZoom() < one.minzoom - 0.5);
    page.said(low.length ? `Zoom in to see: ${low.map(one => one.title).join(", ")}.` : "");
  }
  const box = (background, className) => { const e = document.createElement("i"); e.style.background = background; e.className = className || ""; return e; };
  const described = one => [one.title, ...(one.ramp ? [box(one.ramp, "ramp"), `${one.ends[0]} to ${one.ends[1]}`] : []), ...one.legend.flatMap(([colour, meaning]) => [box(colour), meaning])];
  const marks = () => [...Object.entries(GRADES).flatMap(([grade, colour]) => [box(colour, "dot"), grade]), " confidence; ", box("#fff", "thick"), "confirmed"];

  // The second map, which shows the other image left of the divider.
  async function compare() {
    const name = $("beside").value;
    document.getElementById("middle").classList.toggle("swiping", Boolean(name));
    if (name && sides.length === 1) {
      const side = new maplibre.Map({...options, container: "map-beside", style: style(site), interactive: false, bounds: undefined, center: main.getCenter(), zoom: main.getZoom()});
      await new Promise(done => side.once("styledata", done));
      sides.push(side);
      retile(side);
      retell();
      main.on("move", () => side.jumpTo({center: main.getCenter(), zoom: main.getZoom()}));
    }
    if (sides[1]) { sides[1].resize(); sides[1].jumpTo({center: main.getCenter(), zoom: main.getZoom()}); image(sides[1], name); }
    for (const side of sides) side.resize();
    divide();
    legend();
  }
  function divide() {
    const share = Number($("swipe").value);
    $("map-beside").style.clipPath = `inset(0 ${100 - share}% 0 0)`;
    $("divider").style.left = `${share}%`;
  }

  for (const [select, none] of [["image", "none"], ["beside", "nothing"]]) $(select).replaceChildren(new Option(none, ""), ...site.images.map(one => new Option(one.title, one.name)));
  $("image").value = site.images.length ? site.images[0].name : "";
  image(main, $("image").value);
  $("image").addEventListener("change", () => { image(main, $("image").value); legend(); });
  $("beside").addEventListener("change", compare);
  $("swipe").addEventListener("input", divide);
  new ResizeObserver(() => { for (const side of sides) side.resize(); }).observe($("frame"));
  // the divider is also moved by the pointer
  $("frame").addEventListener("pointerdown", event => {
    const frame = $("frame").getBoundingClientRect(), share = Number($("swipe").value) / 100;
    if (!document.getElementById("middle").classList.contains("swiping") || Math.abs(event.clientX - frame.left - share * frame.width) > 10) return;
    event.stopPropagation();
    event.preventDefault();
    const move = at => { $("swipe").value = 100 * (at.clientX - frame.left) / frame.width; divide(); };
    const end = () => { removeEventListener("pointermove", move); removeEventListener("pointerup", end); main.dragPan.enable(); };
    main.dragPan.disable();
    addEventListener("pointermove", move);
    addEventListener("pointerup", end);
  }, true);

  main.on("moveend", () => { legend(); page.moved(); });
  main.on("click", event => {
    if (isBusy) return;
    const {x, y} = event.point, around = [[x - 4, y - 4], [x + 4, y + 4]];
    const hit = main.queryRenderedFeatures(around, {layers: ["points", "outline", "inside"]}).find(one => visible[one.id]);
    if (hit) page.picked(hit.id);
  });
  main.on("mousemove", event => { if (!isBusy) main.getCanvas().style.cursor = main.queryRenderedFeatures(event.point, {layers: ["points", "inside"]}).some(one => visible[one.id]) ? "pointer" : ""; });

  legend();
  return {
    // Take up the list; `rows` are those whose state the tiles do not know.
    update(wanted, number, rows = []) {
      columns = wanted;
      edition = number;
      total = columns.id.length;
      const kept = visible;
      visible = new Uint8Array(total).fill(1);
      visible.set(kept);
      for (const side of sides) retile(side);
      restate(rows);
    },
    show(rows) {
      const wanted = new Uint8Array(total);
      for (const i of rows) wanted[i] = 1;
      for (let i = 0; i < total; i++) if (wanted[i] !== visible[i]) { visible[i] = wanted[i]; put(i, {hidden: !wanted[i]}); }
    },
    restate,
    select(i, center, side) {
      if (chosen >= 0) put(chosen, {chosen: false});
      chosen = i;
      put(i, {chosen: true});
      if (center) main.jumpTo({center, zoom: Math.min(16, Math.max(main.getZoom(), 13.5, 14.5 - Math.log2(Math.max(side, 50) / 150)))});
    },
    go: center => main.jumpTo({center, zoom: Math.max(main.getZoom(), 13)}),
    fit: bounds => main.fitBounds(bounds, {padding: 60, maxZoom: 16.5, animate: false}),
    bounds: () => { const b = main.getBounds(); return {contains: ([lon, lat]) => lon >= b.getWest() && lon <= b.getEast() && lat >= b.getSouth() && lat <= b.getNorth()}; },
    main,
    maplibre,
    // While somebody draws, a click selects nothing.
    setBusy: is => { isBusy = is; },
    isBusy: () => isBusy,
  };
}

// The page: list, filters and record. `answers.js` adds the answers of reviewers where the page has their form.
import * as data from "./data.js";
import {createMap, loadScript} from "./map.js";

// Every text is inserted as text, never as HTML, so a text from a file or a reviewer cannot run code.
const $ = id => document.getElementById(id);
const make = (tag, text) => { const e = document.createElement(tag); if (text !== undefined) e.textContent = text; return e; };
const SVG = "http://www.w3.org/2000/svg";
const SIGN = {unreviewed: "○ open", confirmed: "✓ confirmed", rejected: "✗ rejected"};
const ROWS_A_PAGE = 100;
const CHOICES = ["confidence", "status", "county"];
const FIELDS = ["search", "filter", ...CHOICES, "from", "to", "smallest", "largest"];
let site = {}, columns = {}, texts = {}, answers = {}, states = [], total = 0, edition = 0;
let shown = [], listed = [], first = 0, at = -1, map = null, form = null;

function say(text, bad = false) {
  $("message").textContent = text;
  $("message").classList.toggle("bad", bad);
}

const stateOf = i => answers[i] ? answers[i].state : states[i];
const answerOf = i => answers[i] || {state: states[i], reviewer: "", comment: "", at: "", count: 0};
const textOf = (name, i) => texts[name] ? texts[name][columns[name][i]] : "";

// Why a landslide is offered here: only with the order by uncertainty.
const why = (i, of = "") => site.uncertain_first ? `, uncertain: ${columns.uncertainty[i] == null ? "unknown" : columns.uncertainty[i].toFixed(2) + of}` : "";

// Latitude and longitude of a text, or null.
function place(text) {
  const found = text.trim().match(/^(-?\d+(?:\.\d+)?)[,;\s]+(-?\d+(?:\.\d+)?)$/);
  const [lat, lon] = found ? [Number(found[1]), Number(found[2])] : [NaN, NaN];
  return Math.abs(lat) < 90 && Math.abs(lon) <= 180 ? [lon, lat] : null;
}

// Rows that the filters let pass.
function filtered() {
  const text = $("search").value.trim().toLowerCase(), wanted = $("filter").value;
  const search = text && !place(text) ? text : "";
  const codes = CHOICES.filter(name => texts[name] && $(name).value !== "").map(name => [columns[name], Number($(name).value)]);
  const from = $("from").value, to = $("to").value;
  const least = Number($("smallest").value) || 0, most = Number($("largest").value) || Infinity;
  const counties = texts.county ? texts.county.map(one => one.toLowerCase().includes(search)) : [];
  const found = [];
  for (let i = 0; i < total; i++) {
    if (columns.area[i] < least || columns.area[i] > most) continue;
    if (from && columns.latest[i] < from || to && columns.earliest[i] > to) continue;
    if (codes.some(([column, code]) => column[i] !== code)) continue;
    if (wanted && stateOf(i) !== wanted && i !== at) continue;
    if (search && !columns.id[i].toLowerCase().includes(search) && !counties[columns.county ? columns.county[i] : -1]) continue;
    found.push(i);
  }
  return found;
}

function refilter() {
  shown = filtered();
  if (map) map.show(shown);
  relist();
}

function relist() {
  const box = $("in-view").checked && map ? map.bounds() : null;
  listed = box ? shown.filter(i => box.contains([columns.lon[i], columns.lat[i]])) : shown;
  first = Math.min(first, Math.max(0, Math.floor((listed.length - 1) / ROWS_A_PAGE)) * ROWS_A_PAGE);
  draw();
}

function draw() {
  $("list").replaceChildren(...listed.slice(first, first + ROWS_A_PAGE).map(i => {
    const row = make("li"), button = make("button");
    button.type = "button";
    button.dataset.row = i;
    button.append(make("span", columns.id[i]), make("span", SIGN[stateOf(i)] + why(i)));
    button.addEventListener("click", () => pick(i, true));
    row.append(button);
    return row;
  }));
  const last = Math.min(first + ROWS_A_PAGE, listed.length);
  $("page-at").textContent = listed.length ? `${first + 1} to ${last} of ${listed.length}` : "no landslide";
  $("page-back").disabled = first === 0;
  $("page-on").disabled = last === listed.length;
  mark();
  count();
}

function count() {
  let done = 0;
  for (let i = 0; i < total; i++) done += stateOf(i) !== "unreviewed";
  $("count").textContent = `${total} landslides, ${done} reviewed, ${total - done} open` + (shown.length < total ? `; ${shown.length} pass the filters` : "") + (site.uncertain_first ? "; open ones with the largest uncertain area are first" : "");
}

function mark() {
  for (const button of $("list").querySelectorAll("button")) {
    const here = Number(button.dataset.row) === at;
    button.setAttribute("aria-current", here);
    // not scrollIntoView, which on a telephone moves the page away from the map
    if (here) {
      const list = $("list"), row = button.parentElement;
      if (row.offsetTop < list.scrollTop + list.offsetTop) list.scrollTop = row.offsetTop - list.offsetTop;
      else if (row.offsetTop + row.offsetHeight > list.scrollTop + list.offsetTop + list.clientHeight) list.scrollTop = row.offsetTop + row.offsetHeight - list.offsetTop - list.clientHeight;
    }
  }
}

function verdict() {
  const {state, reviewer, comment, at: when} = answerOf(at);
  $("verdict").textContent = SIGN[state] + why(at, ` of ${columns.area[at]} m²`) + (reviewer ? ` by ${reviewer}` : "") + (when ? `, ${when}` : "") + (comment ? `: ${comment}` : "");
  if (form) form.shows(state);
}

function outline(d, side) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${side} ${side}`);
  svg.setAttribute("aria-hidden", "true");
  for (let i = 0; i < 2; i++) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", d);
    svg.append(path);
  }
  return svg;
}

// Select a landslide; `go` moves the map to it.
async function pick(i, go = false) {
  at = i;
  $("name").textContent = columns.id[i];
  if (form) form.begins(answerOf(i).comment);
  say("");
  verdict();
  mark();
  if (map) map.select(i, go ? [columns.lon[i], columns.lat[i]] : null, Math.sqrt(columns.area[i]));
  $("facts").replaceChildren();
  $("series").replaceChildren();
  $("pictures").replaceChildren(make("p", "Loading images …"));
  await Promise.all([record(i), pictures(i), series(i)]);
}

async function record(i) {
  let found;
  try { found = await data.record(i); } catch (error) { found = error; }
  if (at !== i) return;
  if (found instanceof Error) { $("facts").replaceChildren(make("dt", `The record cannot be read: ${found.message}`)); return; }
  const rows = [...found.fields];
  if (textOf("county", i)) rows.unshift({name: "county", title: "County", value: textOf("county", i), meaning: "area that contains most of it"});
  if (site.uncertain_first && columns.uncertainty[i] != null) rows.unshift({name: "uncertainty", title: "Uncertainty", value: columns.uncertainty[i], meaning: "0 certain, 1 uncertain"});
  $("facts").replaceChildren(...rows.flatMap(({name, title, value, meaning}) => {
    const term = make("dt", title);
    term.title = `${name}: ${meaning}`;
    return [term, make("dd", value)];
  }));
}

async function pictures(i) {
  let found;
  try { found = await data.pictures(i); } catch (error) { found = error; }
  if (at !== i) return;
  if (found instanceof Error) { $("pictures").replaceChildren(make("p", `No images: ${found.message}`)); return; }
  $("pictures").replaceChildren(...found.pictures.map(({title, uri}) => {
    const figure = make("figure"), frame = make("div"), image = make("img");
    image.src = uri;
    image.alt = `${title}: ${Math.round(found.metres)} m around the landslide`;
    frame.append(image, outline(found.outline, found.side));
    figure.append(frame, make("figcaption", `${title}, ${Math.round(found.metres)} m across`));
    return figure;
  }));
}

// The series of Sentinel-1, where the survey kept it.
async function series(i) {
  let found = [];
  try { found = await data.series(i); } catch { /* no series */ }
  const points = found.flatMap(one => one.days.map((day, n) => [day, one.db[n]])).filter(([, db]) => db != null);
  if (at !== i || !points.length) return;
  const DAY = 864e5, W = 340, H = 130, days = points.map(([day]) => day), dbs = points.map(([, db]) => db);
  const [d0, d1] = [Math.min(...days), Math.max(...days)], [low, high] = [Math.min(...dbs, -1), Math.max(...dbs, 1)];
  const x = day => 30 + (W - 40) * (day - d0) / Math.max(1, d1 - d0), y = db => H - 20 - (H - 30) * (db - low) / (high - low);
  const svg = document.createElementNS(SVG, "svg");
  const put = (tag, attributes, text) => { const e = document.createElementNS(SVG, tag); for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v); if (text !== undefined) e.textContent = text; svg.append(e); };
  svg.setAttribute("viewBox", `0 0 ${W} ${H}`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `VV inside the outline over VV around it, ${points.length} passes`);
  const [before, after] = [Date.parse(columns.earliest[i]) / DAY, Date.parse(columns.latest[i]) / DAY + 1].map(day => x(Math.min(Math.max(day, d0), d1)));
  put("rect", {x: before, y: 5, width: Math.max(1, after - before), height: H - 25, fill: "#e69f00", "fill-opacity": .25});
  put("line", {x1: 30, x2: W - 10, y1: y(0), y2: y(0), stroke: "#51606e"});
  found.forEach((one, n) => one.days.forEach((day, k) => { if (one.db[k] != null) put("circle", {cx: x(day), cy: y(one.db[k]), r: 2.5, fill: ["#0072b2", "#d55e00", "#009e73", "#000"][n % 4]}); }));
  put("text", {x: 2, y: y(high) + 8}, `${high.toFixed(0)} dB`);
  put("text", {x: 2, y: y(low)}, `${low.toFixed(0)} dB`);
  put("text", {x: 30, y: H - 5}, new Date(d0 * DAY).toISOString().slice(0, 10));
  put("text", {x: W - 10, y: H - 5, "text-anchor": "end"}, new Date(d1 * DAY).toISOString().slice(0, 10));
  $("series").replaceChildren(make("h3", "Sentinel-1 series: VV inside over around"), svg, make("p", `Each colour is a relative orbit: ${found.map(one => one.name).join(", ")}. Shaded: the dates of the landslide.`));
}

function step(by) {
  // also where the list shows only what is on the map
  const next = shown[shown.indexOf(at) + by];
  if (next === undefined) { say(by > 0 ? "This is the last landslide of the list." : "This is the first landslide of the list."); return; }
  turnTo(next);
  pick(next, true);
}

// Show the page of the list that holds a row.
function turnTo(i) {
  const wanted = Math.floor(listed.indexOf(i) / ROWS_A_PAGE) * ROWS_A_PAGE;
  if (wanted !== first && wanted >= 0) { first = wanted; draw(); }
}

async function load() {
  const found = await data.landslides();
  ({columns, texts, answers, states} = found);
  total = states.length;
  if (map && found.edition !== edition) map.update(columns, found.edition, Object.keys(answers).map(Number));
  edition = found.edition;
}

function choices() {
  for (const name of CHOICES) {
    const labels = texts[name] || [];
    $(name).replaceChildren(new Option("all", ""), ...labels.map((label, code) => new Option(label, code)));
    $(name).closest("p").hidden = labels.length === 0;
  }
}

// What the form for answers needs of the page.
const page = {
  say, load, refilter, verdict, draw, pick, turnTo, answerOf, stateOf,
  at: () => at, id: i => columns.id[i], row: id => columns.id.indexOf(id), shown: () => shown, map: () => map, isUncertainFirst: () => site.uncertain_first,
  answered: (i, answer) => { answers[i] = answer; if (map) map.restate([i]); },
};

const SHORTCUTS = {j: () => step(1), k: () => step(-1), f: () => map && map.fit(site.bounds), "/": () => $("search").focus()};
document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select")) return;
  if (map && map.isBusy()) return;
  const does = SHORTCUTS[event.key];
  if (does) { event.preventDefault(); does(); }
});
$("next").addEventListener("click", () => step(1));
$("previous").addEventListener("click", () => step(-1));
$("fit").addEventListener("click", SHORTCUTS.f);
let waiting = 0;
for (const id of FIELDS) $(id).addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(() => { first = 0; refilter(); }, id === "search" ? 150 : 0); });
$("search").addEventListener("keydown", event => {
  if (event.key !== "Enter") return;
  const where = place($("search").value);
  if (where && map) map.go(where);
  else if (shown.length) { turnTo(shown[0]); pick(shown[0], true); }
});
$("clear").addEventListener("click", () => { for (const id of FIELDS) $(id).value = ""; first = 0; refilter(); });
$("in-view").addEventListener("change", () => { first = 0; relist(); });
$("page-back").addEventListener("click", () => { first -= ROWS_A_PAGE; draw(); $("list").scrollTop = 0; });
$("page-on").addEventListener("click", () => { first += ROWS_A_PAGE; draw(); $("list").scrollTop = 0; });

async function start() {
  // all at once: the map does not wait for the list
  const list = load(), script = loadScript();
  list.catch(() => { /* reported below */ });
  script.catch(() => { /* reported below */ });
  const answering = $("answer") ? import("./answers.js") : null;
  site = await data.survey();
  if (!site.is_published) {
    $("what").textContent = site.is_review ? "Review of" : "Survey";
    $("survey").textContent = site.survey;
    document.title = `${site.is_review ? "Review of" : "Survey"} ${site.survey}`;
  }
  const made = await createMap(site, {
    picked: i => { turnTo(i); pick(i); },
    moved: () => { if ($("in-view").checked) { first = 0; relist(); } },
    stateOf, said: text => { $("map-message").textContent = text; },
  }, script);
  if (answering) {
    form = (await answering).attach(page);
    Object.assign(SHORTCUTS, form.shortcuts);
  }
  await list;
  choices();
  map = made;
  if (map) map.update(columns, edition, Object.keys(answers).map(Number));
  $("in-view").checked = !site.is_review && map !== null;
  $("in-view").disabled = map === null;
  refilter();
  if (total && (site.is_review || map === null)) {
    const open = states.findIndex((_, i) => stateOf(i) === "unreviewed");
    turnTo(Math.max(0, open));
    pick(Math.max(0, open), true);
  }
  document.body.dataset.ready = "yes";
}
start().catch(error => { $("count").textContent = `The list could not be loaded: ${error && error.message || "the server does not answer or cannot read the survey."}`; });

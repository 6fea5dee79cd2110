"use strict";
// Every text is inserted as text, never as HTML, so a text from a file or a reviewer cannot run code.
const $ = id => document.getElementById(id);
const make = (tag, text) => { const e = document.createElement(tag); if (text !== undefined) e.textContent = text; return e; };
const SVG = "http://www.w3.org/2000/svg";
const SIGN = {unreviewed: "○ open", confirmed: "✓ confirmed", rejected: "✗ rejected"};
let all = [], shown = [], at = -1, busy = false, uncertainFirst = false;

async function request(path, options) {
  const answer = await fetch(path, options);
  return [answer.status, await answer.json()];
}

function say(text, bad = false) {
  $("message").textContent = text;
  $("message").classList.toggle("bad", bad);
}

// Why a landslide is offered here: only with the order by uncertainty.
const why = one => uncertainFirst ? `, uncertain: ${one.uncertainty == null ? "unknown" : one.uncertainty.toFixed(2)}` : "";

function list() {
  const wanted = $("filter").value;
  shown = all.map((one, i) => i).filter(i => !wanted || all[i].answer.state === wanted || i === at);
  $("list").replaceChildren(...shown.map(i => {
    const row = make("li"), button = make("button", undefined);
    button.type = "button";
    button.dataset.row = i;
    button.append(make("span", all[i].landslide_id), make("span", SIGN[all[i].answer.state] + why(all[i])));
    button.addEventListener("click", () => pick(i));
    row.append(button);
    return row;
  }));
  mark();
  const done = all.filter(one => one.answer.state !== "unreviewed").length;
  $("count").textContent = `${all.length} landslides, ${done} reviewed, ${all.length - done} open` + (uncertainFirst ? "; the most uncertain open ones are first" : "");
}

function mark() {
  for (const button of $("list").querySelectorAll("button")) {
    const here = Number(button.dataset.row) === at;
    button.setAttribute("aria-current", here);
    if (here) button.scrollIntoView({block: "nearest"});
  }
}

function verdict() {
  const {state, reviewer, comment, at: when} = all[at].answer;
  $("verdict").textContent = SIGN[state] + why(all[at]) + (reviewer ? ` by ${reviewer}` : "") + (when ? `, ${when}` : "") + (comment ? `: ${comment}` : "");
  for (const button of document.querySelectorAll("[data-state]")) button.setAttribute("aria-pressed", button.dataset.state === state);
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

async function pick(i) {
  at = i;
  const one = all[i];
  $("name").textContent = one.landslide_id;
  $("comment").value = one.answer.comment;
  say("");
  verdict();
  mark();
  const facts = Object.entries(one).filter(([key, value]) => !["landslide_id", "answer"].includes(key) && value !== null && value !== "");
  $("facts").replaceChildren(...facts.flatMap(([key, value]) => [make("dt", key), make("dd", value)]));
  $("pictures").replaceChildren(make("p", "Loading images …"));
  let status, found;
  try { [status, found] = await request(`pictures/${i}`); } catch { status = 0; }
  if (at !== i) return;
  if (status !== 200) { $("pictures").replaceChildren(make("p", "No images: the server does not answer or cannot read the survey.")); return; }
  $("pictures").replaceChildren(...found.pictures.map(({title, uri}) => {
    const figure = make("figure"), frame = make("div"), image = make("img");
    image.src = uri;
    image.alt = `${title}: ${Math.round(found.metres)} m around the landslide`;
    frame.append(image, outline(found.outline, found.side));
    figure.append(frame, make("figcaption", `${title}, ${Math.round(found.metres)} m across`));
    return figure;
  }));
}

function step(by) {
  const next = shown[shown.indexOf(at) + by];
  if (next !== undefined) pick(next);
  else say(by > 0 ? "This is the last landslide of the list." : "This is the first landslide of the list.");
}

// Go to the next landslide without an answer: after this one, then from the top of the list.
function nextOpen(saved) {
  const place = shown.indexOf(at), next = [...shown.slice(place + 1), ...shown.slice(0, place)].find(i => all[i].answer.state === "unreviewed");
  if (next !== undefined) pick(next);
  say(saved + (next === undefined ? " No landslide of the list is open." : ""));
}

async function answer(state) {
  if (at < 0 || busy) return;
  const reviewer = $("reviewer").value.trim(), i = at;
  if (!reviewer) { say("Enter your name first.", true); $("reviewer").focus(); return; }
  busy = true;
  let status = 0, got = {};
  try {
    [status, got] = await request("answers", {
      method: "POST", headers: {"Content-Type": "application/json"},
      body: JSON.stringify({landslide_id: all[i].landslide_id, state, reviewer, comment: $("comment").value.trim(), count: all[i].answer.count}),
    });
  } catch { /* reported below: the answer was not saved */ }
  busy = false;
  if (got.answer) all[i].answer = got.answer;
  if (status === 200) {
    list();
    verdict();
    const saved = `Saved: ${all[i].landslide_id} ${state}.`;
    if (uncertainFirst && state !== "unreviewed" && at === i) nextOpen(saved);
    else say(saved);
  }
  else if (status === 409) { list(); verdict(); say(`Not saved: ${got.answer.reviewer} answered in the meantime: ${got.answer.state}. Answer again to replace that answer.`, true); }
  else say(`Not saved: ${got.error || "the server does not answer"}`, true);
}

document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select")) return;
  const does = {c: () => answer("confirmed"), r: () => answer("rejected"), u: () => answer("unreviewed"), j: () => step(1), k: () => step(-1)}[event.key];
  if (does) { event.preventDefault(); does(); }
});
for (const button of document.querySelectorAll("[data-state]")) button.addEventListener("click", () => answer(button.dataset.state));
$("next").addEventListener("click", () => step(1));
$("previous").addEventListener("click", () => step(-1));
$("filter").addEventListener("change", list);
// Enter in a field does not send an answer
$("answer").addEventListener("submit", event => event.preventDefault());

request("landslides").then(([, found]) => {
  all = found.landslides;
  uncertainFirst = found.uncertain_first;
  $("survey").textContent = found.survey;
  document.title = `Review of ${found.survey}`;
  list();
  if (all.length) pick(Math.max(0, all.findIndex(one => one.answer.state === "unreviewed")));
}).catch(() => { $("count").textContent = "The list could not be loaded: the server does not answer or cannot read the survey."; });

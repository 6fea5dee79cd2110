// The form for answers: confirm, reject, comment, edit outlines, draw missed landslides.
import * as data from "./data.js";
import {Drawing} from "./draw.js";

const $ = id => document.getElementById(id);

export function attach(page) {
  let busy = false, drawing = null;

  // Send an answer, with the corners of an outline if one was drawn; return the saved answer, or null.
  async function send(i, state, corners) {
    const reviewer = $("reviewer").value.trim();
    if (busy) return null;
    if (!reviewer) { page.say("Enter your name first.", true); $("reviewer").focus(); return null; }
    busy = true;
    let status = 0, got = {};
    const body = {landslide_id: i < 0 ? "" : page.id(i), state, reviewer, comment: i < 0 && page.at() >= 0 ? "" : $("comment").value.trim(), count: i < 0 ? 0 : page.answerOf(i).count};
    try {
      const answer = await fetch("answers", {
        method: "POST", headers: {"Content-Type": "application/json"},
        body: JSON.stringify(corners ? {...body, corners} : body),
      });
      [status, got] = [answer.status, await answer.json()];
    } catch { /* reported below: the answer was not saved */ }
    busy = false;
    if (got.answer && i >= 0) page.answered(i, got.answer);
    if (status === 200) return got.answer;
    if (status === 409) { page.draw(); page.verdict(); page.say(`Not saved: ${got.answer.reviewer} answered in the meantime: ${got.answer.state}. Answer again to replace that answer.`, true); }
    else page.say(`Not saved: ${got.error || "the server does not answer"}`, true);
    return null;
  }

  async function answer(state) {
    const i = page.at();
    if (i < 0 || !await send(i, state)) return;
    page.refilter();
    page.verdict();
    const saved = `Saved: ${page.id(i)} ${state}.`;
    if (page.isUncertainFirst() && state !== "unreviewed" && page.at() === i) nextOpen(saved);
    else page.say(saved);
  }

  // Go to the next landslide without an answer: after this one, then from the top of the list.
  function nextOpen(saved) {
    const shown = page.shown(), where = shown.indexOf(page.at());
    const next = [...shown.slice(where + 1), ...shown.slice(0, where)].find(i => page.stateOf(i) === "unreviewed");
    if (next !== undefined) { page.turnTo(next); page.pick(next, true); }
    page.say(saved + (next === undefined ? " No landslide of the list is open." : ""));
  }

  // Save an outline: of landslide i, or of a missed one if i is -1.
  async function saveOutline(i, corners) {
    const saved = await send(i, "confirmed", corners);
    if (!saved) return false;
    await page.load();
    page.refilter();
    await page.pick(page.row(saved.landslide_id));
    page.say(`Saved: outline of ${saved.landslide_id}.`);
    return true;
  }

  function begin(corners, save, note) {
    const map = page.map();
    if (drawing) drawing.end();
    drawing = new Drawing(map.maplibre, map.main, corners, save, () => { drawing = null; map.setBusy(false); }, note);
    map.setBusy(true);
  }

  async function edit() {
    const i = page.at();
    if (i < 0 || !page.map()) return;
    let found;
    try { found = await data.record(i); } catch { return; }
    if (page.at() !== i) return;
    page.map().fit(found.bounds);
    begin(found.corners, corners => saveOutline(i, corners), found.parts > 1 ? "It has several parts or holes: the new outline replaces them by one part." : "");
  }

  const draw = () => page.map() && begin([], corners => saveOutline(-1, corners), "");

  for (const button of document.querySelectorAll("[data-state]")) button.addEventListener("click", () => answer(button.dataset.state));
  $("edit").addEventListener("click", edit);
  $("draw").addEventListener("click", draw);
  // Enter in a field does not send an answer
  $("answer").addEventListener("submit", event => event.preventDefault());

  return {
    // A landslide was selected.
    begins: comment => { $("comment").value = comment; },
    shows: state => { for (const button of document.querySelectorAll("[data-state]")) button.setAttribute("aria-pressed", button.dataset.state === state); },
    shortcuts: {c: () => answer("confirmed"), r: () => answer("rejected"), u: () => answer("unreviewed"), e: edit, d: draw},
  };
}

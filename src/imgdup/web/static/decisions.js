// Decisions: write them, take them back, write them again. The service keeps them; a view is told
// afterwards, and shows them in place.

import { record } from "./api.js";
import { byId, message } from "./parts.js";

const done = []; // each has the decisions to make, and those that take them back
const undone = [];
let changed = () => {};

export const WORDS = { // of a picture
  prefer: "Kept: your choice",
  keep: "Kept: you decided so",
  different: "Kept: not a duplicate",
  duplicate: "you agreed",
};

export function whenDecided(listener) {
  changed = listener;
}

function showButtons() {
  byId("undo").disabled = !done.length;
  byId("redo").disabled = !undone.length;
}

async function write(decisions) {
  const body = { decisions };
  await record("decisions", { method: "POST", body });
  changed(decisions);
}

// Write decisions; each names what it replaces as `before`, null for nothing.
export async function decide(decisions) {
  const now = decisions.map(({ before, ...decision }) => decision);
  const back = decisions.map(({ before, ...decision }) => ({
    ...decision, decision: before ?? "undecided",
  }));
  await write(now);
  done.push({ now, back });
  undone.length = 0;
  showButtons();
}

// Remember decisions that the service made for many groups at once.
export function remember(written) {
  const now = written.map(({ path, ...decision }) => decision);
  const back = now.map((decision) => ({ ...decision, decision: "undecided" }));
  if (now.length) done.push({ now, back });
  undone.length = 0;
  showButtons();
}

async function move(from, to, side, words) {
  const step = from.pop();
  if (!step) return;
  for (let i = 0; i < step[side].length; i += 10_000) {
    await write(step[side].slice(i, i + 10_000));
  }
  to.push(step);
  showButtons();
  message(words);
}

export const undo = () => move(done, undone, "back", "Taken back.");
export const redo = () => move(undone, done, "now", "Decided again.");

byId("undo").onclick = undo;
byId("redo").onclick = redo;

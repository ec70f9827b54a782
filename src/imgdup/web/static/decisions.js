// Decisions: write them, undo them, redo them. The service keeps them; afterwards the
// view is informed, and so are other tabs of this page.

import { record } from "./api.js";
import { byId, counted, message } from "./parts.js";

const MOST_AT_ONCE = 10_000; // decisions in a request

const done = []; // each has the decisions that were made, and those that undo them
const undone = [];
const tabs = new BroadcastChannel("imgdup-decisions");
let changed = () => {};
let last = Promise.resolve();

export const WORDS = { // of a picture
  prefer: "Kept: your choice",
  keep: "Kept: you decided so",
  different: "Kept: not a duplicate",
  duplicate: "you agreed",
};

export function whenDecided(listener) {
  changed = listener;
  tabs.onmessage = () => changed();
}

function showButtons() {
  byId("undo").disabled = !done.length;
  byId("redo").disabled = !undone.length;
}

// Do work when all that was asked for before is done; whoever asked for it gets its error.
function inTurn(work) {
  const result = last.then(work);
  last = result.catch(() => {});
  return result.then((value) => value);
}

// Write decisions; return those that count: one that replaces something that was decided again
// elsewhere meanwhile is left out.
async function write(decisions) {
  const written = [];
  for (let i = 0; i < decisions.length; i += MOST_AT_ONCE) {
    const body = { decisions: decisions.slice(i, i + MOST_AT_ONCE) };
    written.push(...(await record("decisions", { method: "POST", body })).decisions);
  }
  await report();
  return written;
}

async function report() {
  showButtons();
  tabs.postMessage("decided");
  await changed();
}

function remember(step) {
  if (step.now.length) done.push(step);
  undone.length = 0;
}

// Write decisions; each names the one that it replaces as `before`, null for none.
export const decide = (decisions) => inTurn(async () => {
  if (!decisions.length) return;
  const now = decisions.map(({ before, ...decision }) => decision);
  const back = decisions.map(({ before, ...decision }) => ({ ...decision, decision: before ?? "undecided" }));
  remember({ now, back });
  await write(now);
});

// Agree with what is proposed for all groups of a filter; return with how many removals.
export const accept = (filter, waiting) => inTurn(async () => {
  const { decisions: now } = await record("decisions", { method: "POST", body: { accept: filter }, waiting });
  remember({ now, back: now.map((decision) => ({ ...decision, decision: "undecided" })) });
  await report();
  return now.length;
});

// Go one step back or forth; what was decided elsewhere meanwhile stays.
const move = (from, to, [side, other], words) => inTurn(async () => {
  const step = from.pop();
  if (!step) return;
  to.push(step);
  const written = await write(step[side].map((each, i) => ({ ...each, replaces: step[other][i].decision })));
  const left = step[side].length - written.length;
  message(left ? `${words} ${counted(left, "decision")} stayed: decided again elsewhere.` : words);
});

export const undo = () => move(done, undone, ["back", "now"], "Undone.");
export const redo = () => move(undone, done, ["now", "back"], "Redone.");

byId("undo").onclick = undo;
byId("redo").onclick = redo;

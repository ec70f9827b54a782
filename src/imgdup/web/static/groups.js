// The view of duplicates: pages of groups, filters, decisions, the plan.

import { ask, forgetPictures, record } from "./api.js";
import { WORDS, accept, decide, whenDecided } from "./decisions.js";
import { compare } from "./compare.js";
import { button, byId, caption, counted, inUnits, make, message, save, thumbnail } from "./parts.js";

const TYPING_MS = 250; // after the last key, before a search
const REMOVE = "To remove";
const list = byId("list");
let answer = { groups: [], page: 1, pages: 0 };
let page = 1;
let listed = {}; // the filter of what is listed
let place = 0; // of the chosen group on this page
let which = 0; // of the chosen picture in it; 0 is the kept one
let search = () => {};
let countsOf = ""; // the generation whose relations and folders can be chosen
let asked = 0; // so that a late answer does not replace a newer one

const filter = () => {
  const values = { relation: byId("relation").value, folder: byId("folder").value, text: byId("text").value };
  const distance = Number(byId("distance").value);
  if (distance) values.min_distance = distance;
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value));
};

function progress({ decided, files }) {
  message(files
    ? `Comparing pictures: ${decided.toLocaleString("en")} of ${counted(files, "file")}`
    : "Looking for duplicates");
}

export function sayUpdated() {
  message("The index was updated; the page shows it as it is now.");
}

// Offer what there is to choose from, with the number of groups; a choice that is still there stays.
function offer(select, all, counts) {
  const chosen = select.value;
  select.replaceChildren(make("option", { text: all, value: "" }),
    ...counts.map(([name, n]) => make("option", { text: `${name} (${n.toLocaleString("en")})`, value: name })));
  select.value = counts.some(([name]) => name === chosen) ? chosen : "";
}

async function loadFilters() {
  const { relations, folders = [] } = await record("filters", { waiting: progress });
  offer(byId("relation"), "all relations", relations.map((each) => [each.relation, each.n_groups]));
  offer(byId("folder"), "all folders", folders.map((each) => [each.folder, each.n_groups]));
  byId("folder-label").hidden = !folders.length;
}

export async function load(wanted = 1) {
  asked += 1;
  const own = asked;
  const wantedFilter = filter();
  const values = new URLSearchParams({ ...wantedFilter, page: wanted });
  const found = await record(`groups?${values}`, { waiting: progress });
  if (own !== asked) return;
  if (countsOf !== found.generation) {
    const before = JSON.stringify(filter());
    await loadFilters();
    countsOf = found.generation;
    if (own !== asked) return;
    if (JSON.stringify(filter()) !== before) return load(); // what was chosen is no longer there
  }
  [answer, page, listed, place, which] = [found, wanted, wantedFilter, 0, 0];
  message("");
  forgetPictures();
  list.replaceChildren(...found.groups.map(groupElement));
  byId("accept").textContent = `Agree with ${found.n_groups === 1 ? "this group" : `all ${counted(found.n_groups, "group")}`}`;
  byId("accept").disabled = !found.n_groups;
  byId("page").textContent = `${counted(found.n_groups, "group")}, saving ${inUnits(found.saving)}; page ${found.pages ? page : 0} of ${found.pages}`;
  byId("previous").disabled = page <= 1;
  byId("next").disabled = page >= found.pages;
  if (!found.n_groups) list.append(make("p", { text: Object.keys(listed).length ? "No group fits these filters." : "No duplicates were found." }));
  choose(0, 0, false);
}

const imagesOf = (group) => [group.keeper, ...group.files];

function wordsFor(group) {
  const words = [];
  const images = imagesOf(group);
  if (images.every((image) => image.decision === "keep")) words.push("all are kept");
  const preferred = images.find((image) => image.decision === "prefer");
  if (preferred) words.push("you chose which one to keep");
  const decided = group.files.map((file) => file.pair_decision);
  if (decided.every(Boolean)) {
    words.push(decided.every((each) => each === "duplicate") ? "you agreed" : "decided");
  }
  return words.join(", ");
}

function groupElement(group) {
  const words = wordsFor(group);
  const boxes = group.files.map((file) => file.keeper_box).filter(Boolean);
  const element = make("article", { className: words ? "group decided" : "group", tabIndex: -1 });
  element.dataset.group = group.group;
  element.append(
    make("header", {},
      make("h2", { text: `${counted(group.n_files + 1, "picture")}, saving ${inUnits(group.saving)}` }),
      make("span", { className: "state", text: words }),
      button("Agree", () => agree(group), "y"),
      button("Keep all", () => keepAll(group), "a"),
      ...(words ? [button("Clear", () => clearDecisions(group), "x")] : [])),
    make("div", { className: "cards" },
      card(group, group.keeper, "Kept", boxes),
      ...group.files.map((file) => card(group, file, file.role === "remove" ? REMOVE : "Only shown", file.box ? [file.box] : []))));
  const left = group.n_files - group.files.length;
  if (left) {
    element.append(make("p", { text: `${counted(left, "more picture")} of this group are not listed; to agree with them, too, use the button above the groups.` }));
  }
  return element;
}

function card(group, image, role, boxes) {
  const isKeeper = image === group.keeper;
  const now = roleNow(group, image, role);
  const kind = now.startsWith("Kept") ? "keep" : image.role === "similar" ? "similar" : "remove";
  const parts = [make("span", { className: `role ${kind}`, text: now })];
  if (!isKeeper) {
    parts.push(make("p", { className: "sentence", text: `${image.relation}, distance ${image.distance}. ${image.sentence}` }));
    if (image.rule) parts.push(make("p", { className: "facts", text: `Decided by the keep rule ${image.rule}.` }));
  }
  const actions = make("div", { className: "actions" },
    button("Keep this one", () => prefer(group, image), "k"),
    button("Search", () => search(image), "s"));
  if (!isKeeper) {
    actions.prepend(button("Not a duplicate", () => different(group, image), "n"));
    actions.prepend(button("Compare", () => compare(group, image), "c"));
  }
  const element = make("section", { className: "card" }, thumbnail(image, boxes), caption(image), ...parts, actions);
  element.dataset.id = image.id;
  element.onclick = () => choose(answer.groups.indexOf(group), imagesOf(group).indexOf(image), false);
  return element;
}

function roleNow(group, image, role) {
  const own = image.decision === "duplicate" ? null : image.decision; // that is about copies of it
  if (own in WORDS) return WORDS[own];
  if (image.pair_decision in WORDS) return `${role === REMOVE && image.pair_decision === "duplicate" ? `${REMOVE}: ` : ""}${WORDS[image.pair_decision]}`;
  const preferred = imagesOf(group).find((each) => each.decision === "prefer");
  return preferred && image.role !== "similar" ? `${REMOVE} if your choice shows the same picture` : role;
}

function redraw(group) {
  const old = list.querySelector(`[data-group="${group.group}"]`);
  if (!old) return;
  const element = groupElement(group);
  const focused = document.activeElement;
  old.replaceWith(element);
  if (old === focused) element.focus({ preventScroll: true });
  else if (old.contains(focused)) again(focused, element).focus({ preventScroll: true });
  if (answer.groups[place] === group) choose(place, which, false);
}

// Return the button of a new drawing of a group that an old one had; the group if there is none.
function again(old, element) {
  const nameOf = (each) => `${each.closest(".card")?.dataset.id} ${each.textContent}`;
  return [...element.querySelectorAll("button")].find((each) => nameOf(each) === nameOf(old)) ?? element;
}

// Choose a picture of a group: keys act on it.
function choose(groupPlace, picturePlace, scroll = true) {
  const group = answer.groups[groupPlace];
  if (!group) return;
  place = groupPlace;
  which = Math.max(0, Math.min(picturePlace, group.files.length));
  for (const each of list.querySelectorAll(".chosen")) each.classList.remove("chosen");
  for (const each of list.querySelectorAll("[aria-current]")) each.removeAttribute("aria-current");
  const element = list.children[place];
  const chosen = element.querySelectorAll(".card")[which];
  element.setAttribute("aria-current", "true");
  chosen.classList.add("chosen");
  if (scroll) {
    element.focus({ preventScroll: true });
    chosen.scrollIntoView({ block: "nearest" });
  }
}

const pair = (group, file, decision) => {
  const own = { decision, id: group.keeper.id, before: file.pair_decision };
  return file.digest === group.keeper.digest ? own : { ...own, other: file.id };
};
const agree = (group) => decide(group.files.filter((file) => file.role === "remove").map((file) => pair(group, file, "duplicate")));
const different = (group, file) => {
  if (file.digest === group.keeper.digest) message("The two files have equal bytes; use Keep all instead.");
  else return decide([pair(group, file, "different")]);
};
const keepAll = (group) => decide(unique(imagesOf(group)).map((image) => ({ decision: "keep", id: image.id, before: image.decision ?? null })));

function clearDecisions(group) {
  const images = imagesOf(group).filter((image) => image.decision);
  const pairs = group.files.filter((file) => file.pair_decision && file.digest !== group.keeper.digest);
  return decide([
    ...unique(images).map((image) => ({ decision: "undecided", id: image.id, before: image.decision })),
    ...pairs.map((file) => pair(group, file, "undecided")),
  ]);
}

function prefer(group, image) {
  const others = unique(imagesOf(group)).filter((each) => each.digest !== image.digest && each.decision);
  return decide([
    ...others.map((each) => ({ decision: "undecided", id: each.id, before: each.decision })),
    { decision: "prefer", id: image.id, before: image.decision ?? null },
  ]);
}

function unique(images) {
  return [...new Map(images.map((image) => [image.digest, image])).values()];
}

// Ask for this page once more, and show in place what was decided here, in another tab, or by
// another program. Whoever decides while it is asked for lets it be asked for again.
let refreshing = null;
let isOld = false;

function refresh() {
  isOld = true;
  refreshing ??= catchUp().finally(() => { refreshing = null; });
  return refreshing;
}

async function catchUp() {
  while (isOld && answer.groups.length) await refreshOnce();
}

async function refreshOnce() {
  isOld = false;
  const own = asked;
  const found = await record(`groups?${new URLSearchParams({ ...listed, page })}`, { waiting: progress });
  if (own !== asked) return; // another page is on its way
  if (found.generation !== answer.generation) {
    await load();
    sayUpdated();
    return;
  }
  found.groups.forEach((group, i) => {
    if (JSON.stringify(group) === JSON.stringify(answer.groups[i])) return;
    answer.groups[i] = group;
    redraw(group);
  });
}

whenDecided(refresh);
document.addEventListener("visibilitychange", () => document.hidden || refresh());

byId("accept").onclick = async () => {
  message(`You agreed with ${counted(await accept(filter(), progress), "removal")}.`);
};

byId("plan").onclick = async () => {
  const body = { accepted_only: byId("accepted-only").checked };
  const plan = await (await ask("plan", { method: "POST", body, waiting: progress })).blob();
  save(plan, "plan.jsonl");
  const n = (await plan.text()).trim().split("\n").length - 1;
  byId("apply").textContent = `It removes ${counted(n, "file")}. Nothing is removed yet; review it, then run: imgdup apply plan.jsonl --move-to FOLDER`;
  message("");
};

let timer = 0;
byId("filter").oninput = () => {
  clearTimeout(timer);
  timer = setTimeout(() => load(), TYPING_MS);
};
byId("filter").onsubmit = (event) => event.preventDefault();
byId("previous").onclick = () => load(page - 1);
byId("next").onclick = () => load(page + 1);

export function onSearch(listener) {
  search = listener;
}

const chosenGroup = () => answer.groups[place];
const chosenImage = () => imagesOf(chosenGroup())[which];

// What keys do here: the key, the words, and the function.
export const KEYS = [
  ["ArrowDown", "next group", () => choose(place + 1, 0)],
  ["ArrowUp", "previous group", () => choose(place - 1, 0)],
  ["ArrowRight", "next picture of the group", () => choose(place, which + 1)],
  ["ArrowLeft", "previous picture of the group", () => choose(place, which - 1)],
  ["k", "keep this one", () => prefer(chosenGroup(), chosenImage())],
  ["a", "keep all of the group", () => keepAll(chosenGroup())],
  ["n", "not a duplicate", () => which && different(chosenGroup(), chosenImage())],
  ["y", "agree with what is proposed", () => agree(chosenGroup())],
  ["x", "clear the decisions about the group", () => clearDecisions(chosenGroup())],
  ["c", "compare with the kept one", () => compare(chosenGroup(), chosenGroup().files[Math.max(0, which - 1)])],
  ["s", "search for pictures like this one", () => search(chosenImage())],
  ["PageDown", "next page", () => byId("next").disabled || load(page + 1)],
  ["PageUp", "previous page", () => byId("previous").disabled || load(page - 1)],
  ["/", "go to the search in paths", () => byId("text").focus()],
];

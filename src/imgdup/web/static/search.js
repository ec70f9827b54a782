// The view of a search: by a picture of this machine, or by an indexed one.

import { record } from "./api.js";
import { button, byId, caption, counted, make, message, nameOf, thumbnail } from "./parts.js";

const TYPES = /^image\/[a-z0-9.+-]+$/;
const LIMIT = 100; // matches, so that their pictures can be compared
let probe = null; // a file, or an indexed image
let matches = [];
let asked = 0;

async function load() {
  if (!probe) return;
  asked += 1;
  const own = asked;
  const values = new URLSearchParams({
    max_dist: byId("most").value, verify: "true", limit: LIMIT, orientations: byId("turned").checked,
  });
  message("Searching");
  const sent = probe instanceof Blob
    ? { body: probe, type: TYPES.test(probe.type) ? probe.type : "image/x-unknown" }
    : { body: { id: probe.id } };
  const found = await record(`query?${values}`, { method: "POST", ...sent });
  if (own !== asked) return;
  matches = found.matches;
  message("");
  const relations = [...new Set(matches.map((match) => match.relation))];
  const chosen = byId("match-relation").value;
  byId("match-relation").replaceChildren(
    make("option", { text: "all", value: "" }),
    ...relations.map((name) => make("option", { text: name, value: name })));
  byId("match-relation").value = relations.includes(chosen) ? chosen : "";
  show(found.more);
}

function show(more = false) {
  const relation = byId("match-relation").value;
  const shown = matches.filter((match) => !relation || match.relation === relation);
  byId("matches").replaceChildren(...shown.map(matchElement));
  const name = probe instanceof Blob ? probe.name || "the picture" : nameOf(probe)[1];
  byId("found").textContent = `${counted(shown.length, "match", "matches")}${more ? ", and more," : ""} for ${name}`;
}

function matchElement(match) {
  const words = match.is_probe ? "the picture itself" : `${match.relation}, distance ${match.distance}`;
  const turned = match.orientation && match.orientation !== "none" ? `, ${match.orientation}` : "";
  return make("section", { className: "card" },
    thumbnail(match, match.box ? [match.box] : []), caption(match),
    make("p", { className: "sentence", text: words + turned }),
    make("div", { className: "actions" }, button("Search for this one", () => searchFor(match))));
}

export function searchFor(image) {
  probe = image;
  location.hash = "search";
  return load();
}

byId("file").onchange = ({ target }) => target.files[0] && searchFor(target.files[0]);
byId("most").oninput = ({ target }) => { byId("most-value").textContent = target.value; };
byId("most").onchange = load;
byId("turned").onchange = load;
byId("match-relation").onchange = () => show();
byId("ask").onsubmit = (event) => event.preventDefault();

function firstPicture(items) {
  return [...(items ?? [])].find((file) => file.type.startsWith("image/"));
}

document.addEventListener("paste", ({ clipboardData }) => {
  const file = firstPicture(clipboardData.files);
  if (file) searchFor(file);
});
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  const file = firstPicture(event.dataTransfer.files);
  if (file) searchFor(file);
});

export const KEYS = [
  ["o", "choose a picture", () => byId("file").click()],
  ["ArrowRight", "a larger distance", () => step(1)],
  ["ArrowLeft", "a smaller distance", () => step(-1)],
];

function step(by) {
  byId("most").value = Number(byId("most").value) + by;
  byId("most-value").textContent = byId("most").value;
  return load();
}

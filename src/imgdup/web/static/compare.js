// Compare a picture of a group with the kept one, and show what their files hold.

import { picture, record } from "./api.js";
import { makeComparer } from "./comparer.js";
import { byId, caption, copyButton, make, nameOf, thumbnail } from "./parts.js";

const SIDE = 1600; // pixels of the pictures that are loaded

const { show, keys } = makeComparer(byId("compare"));
let group = null;
let file = null;

export function compare(ofGroup, other) {
  [group, file] = [ofGroup, other];
  const pictures = [group.keeper, file].map((image) => ({
    name: nameOf(image)[1], load: () => picture(image.id, SIDE), orientation: image.orientation,
  }));
  const facts = make("div", { className: "two" }, about("Kept", group.keeper), about(`${file.relation}: ${file.sentence}`, file));
  show(pictures, group.files.length > 1 ? [facts, strip()] : [facts]);
}

// The other pictures of the group, to choose from.
function strip() {
  return make("div", { className: "strip", role: "group", "aria-label": "The other pictures of the group" }, ...group.files.map((each) => {
    const [, name] = nameOf(each);
    const choice = make("button", { type: "button", title: name, onclick: () => compare(group, each) }, thumbnail(each));
    choice.setAttribute("aria-pressed", String(each === file));
    return choice;
  }));
}

// The facts of an image, with those that only its file has.
function about(words, image) {
  const more = make("span", { className: "facts" });
  record(`images/${image.id}?facts=true`).then(({ facts }) => {
    const parts = [facts.camera, facts.taken_s && new Date(facts.taken_s * 1000).toISOString().slice(0, 16).replace("T", " "),
      facts.colour, facts.jpeg_quality && `JPEG quality ${facts.jpeg_quality}`, ...facts.holds];
    more.textContent = parts.filter(Boolean).join(", ");
  }, (error) => { more.textContent = error.message; });
  const element = caption(image);
  element.prepend(make("em", { text: words }));
  element.append(more);
  if (image.path !== undefined) element.append(copyButton(image.path));
  return element;
}

const next = (by) => {
  const other = group.files[group.files.indexOf(file) + by];
  if (other) compare(group, other);
};

export const KEYS = [
  ...keys,
  [".", "next picture of the group", () => next(1)],
  [",", "previous picture of the group", () => next(-1)],
];

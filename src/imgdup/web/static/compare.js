// Compare a picture of a group with the kept one: side by side, with a slider, by blinking, or by
// their difference. Both are drawn at one size.

import { picture, record } from "./api.js";
import { button, byId, caption, make, nameOf } from "./parts.js";

const SIDE = 1600; // pixels of the pictures that are loaded
const BLINK_MS = 500;
const MOST_ZOOM = 16;
const MODES = ["side", "slider", "blink", "difference"];
const WORDS = { side: "Side by side", slider: "Slider", blink: "Blink", difference: "Difference" };

const dialog = byId("compare");
let group = null;
let file = null;
let mode = "side";
let view = { zoom: 1, x: 0, y: 0 };
let blinking = 0;
let stage = null;

export function compare(ofGroup, other) {
  [group, file] = [ofGroup, other];
  view = { zoom: 1, x: 0, y: 0 };
  draw();
  if (!dialog.open) dialog.showModal();
  stage.focus();
}

function draw() {
  clearInterval(blinking);
  stage = make("div", { className: `stage ${mode}`, tabIndex: 0, role: "group", "aria-label": "The two pictures; keys zoom and move them" });
  const pictures = [["kept", group.keeper], ["other", file]].map(([name, image]) => {
    const img = make("img", { className: name, alt: nameOf(image)[1] });
    picture(image.id, SIDE).then((url) => { img.src = url; }, (error) => { img.alt = error.message; });
    return make("div", { className: "pane" }, img);
  });
  stage.append(...pictures);
  const slider = make("input", { type: "range", min: 0, max: 100, value: 50, className: "divider", "aria-label": "Where the two pictures meet" });
  slider.oninput = () => stage.style.setProperty("--divide", `${slider.value}%`);
  const modes = make("div", { className: "bar", role: "group", "aria-label": "How to compare" },
    ...MODES.map((name, i) => {
      const each = button(WORDS[name], () => setMode(name), String(i + 1));
      each.setAttribute("aria-pressed", String(name === mode));
      return each;
    }),
    button("Close", () => dialog.close(), "Esc"));
  const strip = make("div", { className: "strip" }, ...group.files.map((each) => {
    const chosen = button(nameOf(each)[1], () => compare(group, each));
    chosen.setAttribute("aria-pressed", String(each === file));
    return chosen;
  }));
  const facts = make("div", { className: "two" }, about("Kept", group.keeper), about(`${file.relation}: ${file.sentence}`, file));
  dialog.replaceChildren(modes, stage, ...(mode === "slider" ? [slider] : []), facts, ...(group.files.length > 1 ? [strip] : []));
  if (mode === "blink") blinking = setInterval(() => stage.classList.toggle("second"), BLINK_MS);
  apply();
  listen();
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
  return element;
}

function setMode(name) {
  mode = name;
  draw();
  stage.focus();
}

function apply() {
  stage.style.setProperty("--zoom", view.zoom);
  stage.style.setProperty("--x", `${view.x}px`);
  stage.style.setProperty("--y", `${view.y}px`);
}

function zoom(by) {
  const zoomed = Math.min(MOST_ZOOM, Math.max(1, view.zoom * by));
  const share = zoomed / view.zoom;
  view = { zoom: zoomed, x: zoomed === 1 ? 0 : view.x * share, y: zoomed === 1 ? 0 : view.y * share };
  apply();
}

function pan(x, y) {
  view = { ...view, x: view.x + x, y: view.y + y };
  apply();
}

function listen() {
  stage.onwheel = (event) => {
    event.preventDefault();
    zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2);
  };
  stage.onpointerdown = (event) => stage.setPointerCapture(event.pointerId);
  stage.onpointermove = (event) => event.buttons && pan(event.movementX, event.movementY);
}

dialog.onclose = () => clearInterval(blinking);

const next = (by) => {
  const place = group.files.indexOf(file) + by;
  if (group.files[place]) compare(group, group.files[place]);
};

export const KEYS = [
  ...MODES.map((name, i) => [String(i + 1), WORDS[name].toLowerCase(), () => setMode(name)]),
  ["+", "larger", () => zoom(1.25)],
  ["-", "smaller", () => zoom(0.8)],
  ["0", "whole picture", () => { view = { zoom: 1, x: 0, y: 0 }; apply(); }],
  ["ArrowLeft", "move the pictures", () => pan(40, 0)],
  ["ArrowRight", "move the pictures", () => pan(-40, 0)],
  ["ArrowUp", "move the pictures", () => pan(0, 40)],
  ["ArrowDown", "move the pictures", () => pan(0, -40)],
  [".", "next picture of the group", () => next(1)],
  [",", "previous picture of the group", () => next(-1)],
];

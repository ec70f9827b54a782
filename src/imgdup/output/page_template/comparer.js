// Compare pictures in a dialog: side by side, with a slider, by blinking, or by their difference.
// All are drawn at one size, and zoomed and moved together.

import { button, make } from "./components.js";

const BLINK_MS = 500;
const MOST_ZOOM = 16;
const MODES = { side: "Side by side", slider: "Slider", blink: "Blink", difference: "Difference" };

// How a picture is turned to lie as the other: whether it is transposed, and then which are flipped.
const TURNS = {
  none: [false, false, false], mirror: [false, false, true], "rotate-180": [false, true, true],
  flip: [false, true, false], transpose: [true, false, false], "rotate-90": [true, false, true],
  transverse: [true, true, true], "rotate-270": [true, true, false],
};

// Return a loaded picture as it lies when it is turned.
export function upright(img, orientation = "none") {
  if (orientation === "none") return img;
  const [isTransposed, rows, columns] = TURNS[orientation];
  const canvas = make("canvas", { role: "img", "aria-label": img.alt });
  const sides = [img.naturalWidth, img.naturalHeight];
  [canvas.width, canvas.height] = isTransposed ? sides.reverse() : sides;
  const across = columns ? -1 : 1;
  const down = rows ? -1 : 1;
  const linear = isTransposed ? [0, down, across, 0] : [across, 0, 0, down];
  const drawing = canvas.getContext("2d");
  drawing.setTransform(...linear, columns ? canvas.width : 0, rows ? canvas.height : 0);
  drawing.drawImage(img, 0, 0);
  return canvas;
}

// A pane with a picture, once it is loaded; `load` promises its address.
function makePane({ name, load, orientation }) {
  const img = make("img", { alt: name });
  const pane = make("div", { className: "pane" }, img);
  load().then(async (url) => {
    img.src = url;
    await img.decode();
    pane.replaceChildren(upright(img, orientation));
  }).catch((error) => pane.replaceChildren(make("span", { className: "lost", text: error.message })));
  return pane;
}

// Let a dialog compare pictures, of one or two; return what shows them, and its keys.
export function makeComparer(dialog) {
  let pictures = [];
  let below = [];
  let mode = "side";
  let view = { zoom: 1, x: 0, y: 0 };
  let stage = null;
  let blinking = 0;

  function draw() {
    clearInterval(blinking);
    const now = pictures.length > 1 ? mode : "side";
    stage = make("div", { className: `stage ${now}`, tabIndex: 0, role: "group", "aria-label": "The pictures; keys zoom and move them" }, ...pictures.map(makePane));
    const bar = make("div", { className: "bar", role: "group", "aria-label": "How to compare" });
    if (pictures.length > 1) {
      bar.append(...Object.entries(MODES).map(([name, words], i) => {
        const each = button(words, () => setMode(name), String(i + 1));
        each.setAttribute("aria-pressed", String(name === mode));
        return each;
      }));
    }
    bar.append(button("Close", () => dialog.close(), "Esc"));
    dialog.replaceChildren(bar, stage, ...(now === "slider" ? [makeSlider()] : []), ...below);
    if (now === "blink") blinking = setInterval(() => stage.classList.toggle("second"), BLINK_MS);
    listen();
    move();
  }

  function makeSlider() {
    const slider = make("input", { type: "range", min: 0, max: 100, value: 50, className: "divider", "aria-label": "Where the two pictures meet" });
    slider.oninput = () => stage.style.setProperty("--divide", `${slider.value}%`);
    return slider;
  }

  function setMode(name) {
    mode = name;
    draw();
    stage.focus();
  }

  function move(changes = {}) {
    view = { ...view, ...changes };
    stage.style.setProperty("--zoom", view.zoom);
    stage.style.setProperty("--x", `${view.x}px`);
    stage.style.setProperty("--y", `${view.y}px`);
  }

  function zoom(by) {
    const zoomed = Math.min(MOST_ZOOM, Math.max(1, view.zoom * by));
    const share = zoomed === 1 ? 0 : zoomed / view.zoom;
    move({ zoom: zoomed, x: view.x * share, y: view.y * share });
  }

  const pan = (x, y) => move({ x: view.x + x, y: view.y + y });

  function listen() {
    stage.onwheel = (event) => {
      event.preventDefault();
      zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2);
    };
    stage.onpointerdown = (event) => stage.setPointerCapture(event.pointerId);
    stage.onpointermove = (event) => event.buttons && pan(event.movementX, event.movementY);
  }

  dialog.addEventListener("close", () => clearInterval(blinking));

  function show(newPictures, newBelow) {
    [pictures, below] = [newPictures, newBelow];
    view = { zoom: 1, x: 0, y: 0 };
    draw();
    if (!dialog.open) dialog.showModal();
    stage.focus();
  }

  const keys = [
    ...Object.entries(MODES).map(([name, words], i) => [String(i + 1), words.toLowerCase(), () => setMode(name)]),
    ["+", "zoom in", () => zoom(1.25)],
    ["-", "zoom out", () => zoom(0.8)],
    ["0", "show the whole picture", () => move({ zoom: 1, x: 0, y: 0 })],
    ["ArrowLeft", "move the pictures", () => pan(40, 0)],
    ["ArrowRight", "move the pictures", () => pan(-40, 0)],
    ["ArrowUp", "move the pictures", () => pan(0, 40)],
    ["ArrowDown", "move the pictures", () => pan(0, -40)],
  ];
  return { show, keys };
}

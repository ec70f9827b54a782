// The parts that the views are made of. Everything that comes from the service is shown as text.

import { picture } from "./api.js";

const THUMBNAIL = 220; // pixels
const SPACE = "http://www.w3.org/2000/svg";
const UNITS = ["bytes", "kB", "MB", "GB", "TB"];

export const byId = (id) => document.getElementById(id);

export function make(tag, { className, text, ...others } = {}, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  for (const [name, value] of Object.entries(others)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

export function button(text, onclick, key) {
  const element = make("button", { type: "button", text, onclick });
  if (key) element.append(" ", make("kbd", { text: key }));
  return element;
}

export function inUnits(bytes) {
  let unit = 0;
  for (; bytes >= 999.5 && unit < UNITS.length - 1; unit += 1) bytes /= 1000;
  return `${unit && bytes < 10 ? bytes.toFixed(1) : Math.round(bytes)} ${UNITS[unit]}`;
}

export const counted = (number, noun, several = `${noun}s`) =>
  `${number.toLocaleString("en")} ${number === 1 ? noun : several}`;

export function day(image) {
  return new Date(image.mtime_ns / 1e6).toISOString().slice(0, 10);
}

export function message(text) {
  byId("message").textContent = text;
}

// Split a path into its folder and its name; without paths, an image has its number only.
export function nameOf(image) {
  if (image.path === undefined) return ["", `image ${image.id.split("-")[1]}`];
  const end = image.path.lastIndexOf("/") + 1;
  return [image.path.slice(0, end), image.path.slice(end)];
}

const seen = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    seen.unobserve(target);
    picture(target.dataset.id, THUMBNAIL).then(
      (url) => { target.src = url; },
      (error) => target.replaceWith(make("span", { className: "lost", text: error.message })),
    );
  }
}, { rootMargin: "400px" });

// A thumbnail that is loaded when it comes near the window; boxes are in thousandths.
export function thumbnail(image, boxes = []) {
  const [, name] = nameOf(image);
  const img = make("img", { alt: name, width: image.width, height: image.height });
  img.dataset.id = image.id;
  seen.observe(img);
  const frame = make("div", { className: "picture" }, img);
  if (boxes.length) frame.append(marks(image, boxes));
  return frame;
}

function marks(image, boxes) {
  const svg = document.createElementNS(SPACE, "svg");
  svg.setAttribute("viewBox", `0 0 ${image.width} ${image.height}`);
  svg.setAttribute("aria-hidden", "true");
  for (const [x, y, width, height] of boxes) {
    for (const kind of ["halo", "mark"]) {
      const frame = document.createElementNS(SPACE, "rect");
      const sides = {
        x: x * image.width, y: y * image.height,
        width: width * image.width, height: height * image.height,
      };
      for (const [side, value] of Object.entries(sides)) frame.setAttribute(side, value / 1000);
      frame.setAttribute("class", kind);
      svg.append(frame);
    }
  }
  return svg;
}

// The lines of text under a picture.
export function caption(image) {
  const [folder, name] = nameOf(image);
  const facts = `${image.width} × ${image.height}, ${inUnits(image.size)}, ${image.format}, ${day(image)}`;
  return make("div", { className: "caption" },
    make("strong", { text: name, title: image.path ?? "" }),
    make("span", { className: "folder", text: folder }),
    make("span", { className: "facts", text: facts }));
}

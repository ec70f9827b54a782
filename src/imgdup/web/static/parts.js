// The parts that the views are made of. Everything that comes from the service is shown as text.

import { picture } from "./api.js";
import { byId, inUnits, make, marks, pathElement } from "./components.js";

export * from "./components.js";

const THUMBNAIL = 220; // pixels

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

// The lines of text under a picture.
export function caption(image) {
  const [folder, name] = nameOf(image);
  const facts = [`${image.width} × ${image.height}`, inUnits(image.size), image.format, day(image)];
  return make("div", { className: "caption" },
    make("strong", { text: name, title: image.path ?? "" }),
    make("span", { className: "folder" }, pathElement(folder)),
    make("span", { className: "facts" }, ...facts.flatMap((fact, i) => [...(i ? [", "] : []), make("span", { text: fact })])));
}

// The parts that the page of the service and the saved report have in common. Texts that are given
// are shown as text, whatever they contain.

const SPACE = "http://www.w3.org/2000/svg";
const UNITS = ["bytes", "kB", "MB", "GB", "TB"];
const COPIED_MS = 1500; // that a button says so

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

// Draw boxes, in thousandths, over a picture: the units of the drawing are pixels of the file.
export function marks(image, boxes) {
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

// Show a path, which may be broken behind each slash; the first characters may be left out.
export function pathElement(path, nHidden = 0) {
  const element = make("span", { className: "path", title: path });
  path.slice(nHidden).match(/[^/]*\/|[^/]+/g)?.forEach((part) => element.append(part, make("wbr")));
  return element;
}

// A button that copies a path. Where a browser does not allow it, the path is asked for and shown.
export function copyButton(path) {
  const element = button("Copy path", async (event) => {
    event.stopPropagation();
    try {
      await navigator.clipboard.writeText(path);
      element.textContent = "Copied";
      setTimeout(() => { element.textContent = "Copy path"; }, COPIED_MS);
    } catch {
      prompt("Copy the path from here:", path);
    }
  });
  return element;
}

// Save text as a file, as a download.
export function save(content, name) {
  const url = URL.createObjectURL(content);
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}


"use strict";
(() => {
  const PAGE = 100; // groups
  const FEW = 12; // other files of a group that are shown at first
  const source = document.getElementById("data");
  const { words, relations, groups } = JSON.parse(source.textContent);
  source.remove();

  // An entry is [path, distance, relation, width, height, bytes, thumbnail, characters of the path
  // not to show, label, conflict, comparison]; a group is [keeper, others, number of removals]: the
  // others behind the removals are only shown. A comparison with the keeper is [sentence, peak, box
  // in this picture, box in the keeper, rule]; a box is [x, y, width, height] in thousandths.
  const PATH = 0, DISTANCE = 1, RELATION = 2, WIDTH = 3, HEIGHT = 4, BYTES = 5, THUMBNAIL = 6;
  const HIDDEN = 7, LABEL = 8, CONFLICT = 9, COMPARISON = 10;
  const SENTENCE = 0, PEAK = 1, BOX = 2, KEEPER_BOX = 3, RULE = 4;
  const byId = (id) => document.getElementById(id);
  const search = byId("search"), nearest = byId("nearest"), farthest = byId("farthest");
  const order = byId("order"), list = byId("list");
  let shown = [];
  let page = 0;

  const isRemoved = new Set(groups.flatMap(([, others, nRemovals]) => others.slice(0, nRemovals)));
  const removed = (entries) => entries.filter((entry) => isRemoved.has(entry));
  const total = (entries) => removed(entries).reduce((sum, entry) => sum + entry[BYTES], 0);
  const widest = (entries) => entries.reduce((most, entry) => Math.max(most, entry[DISTANCE]), 0);
  const ORDERS = {
    first: (a, b) => (words.saves ? b.saving - a.saving : 0) || a.number - b.number,
    farthest: (a, b) => widest(b.others) - widest(a.others) || a.number - b.number,
    path: (a, b) => (a.keeper[PATH] < b.keeper[PATH] ? -1 : a.keeper[PATH] > b.keeper[PATH] ? 1 : 0),
  };

  function inUnits(bytes) {
    const units = ["bytes", "kB", "MB", "GB", "TB"];
    let unit = 0;
    for (; bytes >= 999.5 && unit < units.length - 1; unit += 1) bytes /= 1000;
    return `${unit && bytes < 10 ? bytes.toFixed(1) : Math.round(bytes)} ${units[unit]}`;
  }

  function make(tag, className, text) {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
  }

  // Draws boxes over a picture: the units of the drawing are pixels of the file.
  function marks(entry, boxes) {
    const space = "http://www.w3.org/2000/svg";
    const svg = document.createElementNS(space, "svg");
    svg.setAttribute("viewBox", `0 0 ${entry[WIDTH]} ${entry[HEIGHT]}`);
    for (const [x, y, width, height] of boxes) {
      for (const kind of ["halo", "mark"]) {
        const frame = document.createElementNS(space, "rect");
        const sides = { x: x * entry[WIDTH], y: y * entry[HEIGHT], width: width * entry[WIDTH], height: height * entry[HEIGHT] };
        for (const [name, side] of Object.entries(sides)) frame.setAttribute(name, side / 1000);
        frame.setAttribute("class", kind);
        svg.append(frame);
      }
    }
    return svg;
  }

  function preview(entry, boxes) {
    if (!entry[THUMBNAIL]) return make("div", "none", "no preview");
    const frame = make("div", "preview"), image = make("img");
    image.loading = "lazy";
    image.decoding = "async";
    image.alt = "";
    image.src = `data:image/jpeg;base64,${entry[THUMBNAIL]}`;
    frame.append(image);
    if (boxes.length) frame.append(marks(entry, boxes));
    return frame;
  }

  // Returns the boxes to draw: in the keeper those of all comparisons with it.
  function boxesOf(entry, others) {
    const comparisons = (others ?? [entry]).map((each) => each[COMPARISON]).filter(Boolean);
    return comparisons.map((each) => each[others ? KEEPER_BOX : BOX]).filter(Boolean);
  }

  function explanation(comparison) {
    const rule = comparison[RULE] ? ` Decided by the keep rule ${comparison[RULE]}.` : "";
    return make("div", "explanation", comparison[SENTENCE] + rule);
  }

  function pathOf(entry) {
    const path = make("span", "path");
    path.title = entry[PATH];
    entry[PATH].slice(entry[HIDDEN]).match(/[^/]*\/|[^/]+/g)?.forEach((part) => path.append(part, make("wbr")));
    return path;
  }

  // Makes the figure of a file; of a keeper the other files of its group are given.
  function picture(entry, others) {
    const isKeeper = others !== undefined;
    const figure = make("figure", "picture");
    const caption = make("figcaption");
    const facts = make("div", "facts");
    const isDropped = isRemoved.has(entry);
    facts.append(make("span", isDropped ? "badge drop" : "badge keep", isKeeper ? words.keeper : isDropped ? words.removal : words.shown));
    if (!isKeeper) facts.append(make("span", "", relations[entry[RELATION]]), make("span", "", `distance ${entry[DISTANCE]}`));
    const peak = Math.round(entry[COMPARISON]?.[PEAK] ?? 0);
    if (peak) facts.append(make("span", "", `peak ${peak}`));
    const size = make("div", "facts");
    size.append(make("span", "", `${entry[WIDTH]} \u00d7 ${entry[HEIGHT]}`), make("span", "", inUnits(entry[BYTES])));
    if (entry[LABEL]) size.append(make("span", "", `label ${entry[LABEL]}`));
    caption.append(facts, size);
    if (entry[COMPARISON]) caption.append(explanation(entry[COMPARISON]));
    if (entry[CONFLICT]) caption.append(make("div", "conflict", entry[CONFLICT]));
    caption.append(pathOf(entry));
    figure.append(preview(entry, boxesOf(entry, others)), caption);
    return figure;
  }

  function card(group) {
    const article = make("article", "group");
    const title = make("h2");
    const nRemoved = removed(group.others).length, nShown = group.others.length - nRemoved;
    title.append(make("b", "", `Group ${group.number + 1}`));
    if (nRemoved) title.append(` \u00b7 ${nRemoved.toLocaleString("en")} ${words.counted}`);
    if (nShown) title.append(` \u00b7 ${nShown.toLocaleString("en")} ${words.shown}`);
    if (words.saves && nRemoved) title.append(` \u00b7 ${words.saves} ${inUnits(group.saving)}`);
    const others = make("div", "others");
    others.append(...group.others.slice(0, FEW).map((entry) => picture(entry)));
    const rest = group.others.slice(FEW);
    if (rest.length) {
      const more = make("button", "more", `Show ${rest.length.toLocaleString("en")} more`);
      more.type = "button";
      more.addEventListener("click", () => more.replaceWith(...rest.map((entry) => picture(entry))));
      others.append(more);
    }
    article.append(title, picture(group.keeper, group.others), others);
    return article;
  }

  function draw() {
    const n = shown.length, pages = Math.max(1, Math.ceil(n / PAGE));
    page = Math.min(Math.max(page, 0), pages - 1);
    const part = shown.slice(page * PAGE, (page + 1) * PAGE);
    list.replaceChildren(...(n ? part.map(card) : [make("p", "empty", groups.length ? "No group fits these filters." : words.none)]));
    const files = shown.reduce((sum, group) => sum + removed(group.others).length, 0).toLocaleString("en");
    const where = `${n.toLocaleString("en")} ${n === 1 ? "group" : "groups"}, ${files} ${words.counted} \u00b7 page ${page + 1} of ${pages}`;
    document.querySelectorAll(".where").forEach((line) => (line.textContent = where));
    document.querySelectorAll("[data-step]").forEach((button) => (button.disabled = button.dataset.step < 0 ? page === 0 : page === pages - 1));
  }

  function filter() {
    const text = search.value.toLowerCase();
    const from = nearest.value === "" ? 0 : Number(nearest.value);
    const to = farthest.value === "" ? Infinity : Number(farthest.value);
    const wanted = new Set([...document.querySelectorAll("#relations :checked")].map((box) => Number(box.value)));
    shown = [];
    groups.forEach(([keeper, all], number) => {
      const fits = all.filter((entry) => wanted.has(entry[RELATION]) && entry[DISTANCE] >= from && entry[DISTANCE] <= to);
      const named = !text || keeper[PATH].toLowerCase().includes(text) ? fits : fits.filter((entry) => entry[PATH].toLowerCase().includes(text));
      if (named.length) shown.push({ number, keeper, others: named, saving: total(named) });
    });
    shown.sort(ORDERS[order.value]);
    page = 0;
    draw();
  }

  const counts = relations.map(() => 0);
  groups.forEach(([, others]) => others.forEach((entry) => (counts[entry[RELATION]] += 1)));
  byId("relations").append(...relations.map((name, number) => {
    const chip = make("label", "chip"), box = make("input");
    box.type = "checkbox";
    box.checked = box.defaultChecked = true;
    box.value = number;
    chip.append(box, name, make("small", "", counts[number].toLocaleString("en")));
    return chip;
  }));
  farthest.placeholder = groups.reduce((most, [, others]) => Math.max(most, widest(others)), 0);
  nearest.placeholder = 0;

  let waiting = 0;
  const soon = () => { clearTimeout(waiting); waiting = setTimeout(filter, 120); };
  const form = byId("filters");
  form.addEventListener("input", soon);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(filter));
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-step]");
    if (!button) return;
    page += Number(button.dataset.step);
    draw();
    form.scrollIntoView({ block: "end" });
  });
  filter();
  document.documentElement.dataset.ready = Math.round(performance.now());
})();

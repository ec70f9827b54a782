
"use strict";
(() => {
  const PAGE = 100; // groups
  const FEW = 12; // removals of a group that are shown at first
  const source = document.getElementById("data");
  const { words, relations, groups } = JSON.parse(source.textContent);
  source.remove();

  // An entry is [path, distance, relation, width, height, bytes, thumbnail, characters of the path
  // not to show, label, conflict]; a group is [keeper, removals].
  const PATH = 0, DISTANCE = 1, RELATION = 2, WIDTH = 3, HEIGHT = 4, BYTES = 5, THUMBNAIL = 6;
  const HIDDEN = 7, LABEL = 8, CONFLICT = 9;
  const byId = (id) => document.getElementById(id);
  const search = byId("search"), nearest = byId("nearest"), farthest = byId("farthest");
  const order = byId("order"), list = byId("list");
  let shown = [];
  let page = 0;

  const total = (entries) => entries.reduce((sum, entry) => sum + entry[BYTES], 0);
  const widest = (entries) => entries.reduce((most, entry) => Math.max(most, entry[DISTANCE]), 0);
  const ORDERS = {
    first: (a, b) => (words.saves ? b.saving - a.saving : 0) || a.number - b.number,
    farthest: (a, b) => widest(b.removals) - widest(a.removals) || a.number - b.number,
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

  function preview(entry) {
    if (!entry[THUMBNAIL]) return make("div", "none", "no preview");
    const image = make("img");
    image.loading = "lazy";
    image.decoding = "async";
    image.alt = "";
    image.src = `data:image/jpeg;base64,${entry[THUMBNAIL]}`;
    return image;
  }

  function pathOf(entry) {
    const path = make("span", "path");
    path.title = entry[PATH];
    entry[PATH].slice(entry[HIDDEN]).match(/[^/]*\/|[^/]+/g)?.forEach((part) => path.append(part, make("wbr")));
    return path;
  }

  function picture(entry, isKeeper) {
    const figure = make("figure", "picture");
    const caption = make("figcaption");
    const facts = make("div", "facts");
    facts.append(make("span", isKeeper ? "badge keep" : "badge drop", isKeeper ? words.keeper : words.removal));
    if (!isKeeper) facts.append(make("span", "", relations[entry[RELATION]]), make("span", "", `distance ${entry[DISTANCE]}`));
    const size = make("div", "facts");
    size.append(make("span", "", `${entry[WIDTH]} \u00d7 ${entry[HEIGHT]}`), make("span", "", inUnits(entry[BYTES])));
    if (entry[LABEL]) size.append(make("span", "", `label ${entry[LABEL]}`));
    caption.append(facts, size);
    if (entry[CONFLICT]) caption.append(make("div", "conflict", entry[CONFLICT]));
    caption.append(pathOf(entry));
    figure.append(preview(entry), caption);
    return figure;
  }

  function card(group) {
    const article = make("article", "group");
    const title = make("h2");
    title.append(make("b", "", `Group ${group.number + 1}`), ` \u00b7 ${group.removals.length.toLocaleString("en")} ${words.counted}`);
    if (words.saves) title.append(` \u00b7 ${words.saves} ${inUnits(group.saving)}`);
    const others = make("div", "others");
    others.append(...group.removals.slice(0, FEW).map((entry) => picture(entry, false)));
    const rest = group.removals.slice(FEW);
    if (rest.length) {
      const more = make("button", "more", `Show ${rest.length.toLocaleString("en")} more`);
      more.type = "button";
      more.addEventListener("click", () => more.replaceWith(...rest.map((entry) => picture(entry, false))));
      others.append(more);
    }
    article.append(title, picture(group.keeper, true), others);
    return article;
  }

  function draw() {
    const n = shown.length, pages = Math.max(1, Math.ceil(n / PAGE));
    page = Math.min(Math.max(page, 0), pages - 1);
    const part = shown.slice(page * PAGE, (page + 1) * PAGE);
    list.replaceChildren(...(n ? part.map(card) : [make("p", "empty", groups.length ? "No group fits these filters." : words.none)]));
    const files = shown.reduce((sum, group) => sum + group.removals.length, 0).toLocaleString("en");
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
      if (named.length) shown.push({ number, keeper, removals: named, saving: total(named) });
    });
    shown.sort(ORDERS[order.value]);
    page = 0;
    draw();
  }

  const counts = relations.map(() => 0);
  groups.forEach(([, removals]) => removals.forEach((entry) => (counts[entry[RELATION]] += 1)));
  byId("relations").append(...relations.map((name, number) => {
    const chip = make("label", "chip"), box = make("input");
    box.type = "checkbox";
    box.checked = box.defaultChecked = true;
    box.value = number;
    chip.append(box, name, make("small", "", counts[number].toLocaleString("en")));
    return chip;
  }));
  farthest.placeholder = groups.reduce((most, [, removals]) => Math.max(most, widest(removals)), 0);
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

// The saved report: groups by page, filters, and a choice of what the plan removes. The parts that
// it is made of stand before it in the same script.

(() => {
  const PAGE = 100; // groups
  const FEW = 12; // other files of a group that are shown at first
  const source = byId("data");
  const { words, relations, groups, plan } = JSON.parse(source.textContent);
  source.remove();

  // An entry is [path, distance, relation, width, height, bytes, thumbnail, characters of the path
  // not to show, label, conflict, comparison, line of the plan]; a group is [keeper, others, number
  // of removals]: the others behind the removals are only shown. A comparison with the keeper is
  // [sentence, peak, box in this picture, box in the keeper, rule, orientation]; a box is [x, y,
  // width, height] in thousandths.
  const PATH = 0, DISTANCE = 1, RELATION = 2, WIDTH = 3, HEIGHT = 4, BYTES = 5, THUMBNAIL = 6;
  const HIDDEN = 7, LABEL = 8, CONFLICT = 9, COMPARISON = 10, LINE = 11;
  const SENTENCE = 0, PEAK = 1, BOX = 2, KEEPER_BOX = 3, RULE = 4, ORIENTATION = 5;
  const search = byId("search"), nearest = byId("nearest"), farthest = byId("farthest");
  const order = byId("order"), list = byId("list"), dialog = byId("compare");
  const comparer = makeComparer(dialog);
  const hasPlan = plan.length > 1;
  let shown = [];
  let page = 0;

  const proposed = new Set(groups.flatMap(([, others, nRemovals]) => others.slice(0, nRemovals)));
  const spared = new Set(); // those that are not to be removed, by the person's choice
  const isRemoved = (entry) => proposed.has(entry) && !spared.has(entry);
  const removed = (entries) => entries.filter(isRemoved);
  const total = (entries) => removed(entries).reduce((sum, entry) => sum + entry[BYTES], 0);
  const widest = (entries) => entries.reduce((most, entry) => Math.max(most, entry[DISTANCE]), 0);
  const ORDERS = {
    first: (a, b) => (words.saves ? b.saving - a.saving : 0) || a.number - b.number,
    farthest: (a, b) => widest(b.others) - widest(a.others) || a.number - b.number,
    path: (a, b) => (a.keeper[PATH] < b.keeper[PATH] ? -1 : a.keeper[PATH] > b.keeper[PATH] ? 1 : 0),
  };

  const urlOf = (entry) => `data:image/jpeg;base64,${entry[THUMBNAIL]}`;

  // A thumbnail; a click enlarges it, beside the keeper if it is another file.
  function preview(entry, boxes, keeper) {
    if (!entry[THUMBNAIL]) return make("div", { className: "none", text: "no preview" });
    const image = make("img", { loading: "lazy", decoding: "async", alt: "", src: urlOf(entry) });
    const frame = button("", () => enlarge(entry, keeper));
    frame.className = "preview";
    frame.setAttribute("aria-label", `Enlarge ${entry[PATH]}`);
    frame.append(image);
    if (boxes.length) frame.append(marks({ width: entry[WIDTH], height: entry[HEIGHT] }, boxes));
    return frame;
  }

  function enlarge(entry, keeper) {
    const both = keeper ? [keeper, entry] : [entry];
    const note = make("p", { className: "note" });
    sayIfSmall(note, both);
    comparer.show(
      both.filter((each) => each[THUMBNAIL]).map((each) => ({
        name: each[PATH], load: async () => urlOf(each), orientation: each[COMPARISON]?.[ORIENTATION],
      })),
      [make("div", { className: "two" }, ...both.map((each) => make("div", {}, pathElement(each[PATH]), copyButton(each[PATH])))), note],
    );
  }

  // Says that the page has only a small preview, if an original has far more pixels.
  async function sayIfSmall(note, entries) {
    for (const entry of entries.filter((each) => each[THUMBNAIL])) {
      const image = make("img", { src: urlOf(entry) });
      await image.decode();
      if (image.naturalWidth < Math.min(600, entry[WIDTH] / 2)) {
        note.textContent = "The previews in this page are small. To see every detail, open the files, or use imgdup serve.";
      }
    }
  }

  // Returns the boxes to draw: in the keeper those of all comparisons with it.
  function boxesOf(entry, others) {
    const comparisons = (others ?? [entry]).map((each) => each[COMPARISON]).filter(Boolean);
    return comparisons.map((each) => each[others ? KEEPER_BOX : BOX]).filter(Boolean);
  }

  function explanation(comparison) {
    const rule = comparison[RULE] ? ` Decided by the keep rule ${comparison[RULE]}.` : "";
    return make("div", { className: "explanation", text: comparison[SENTENCE] + rule });
  }

  // The word for what happens to a file; with a plan, a box to tick for one that it may remove.
  function badge(entry, isKeeper) {
    if (!hasPlan || !entry[LINE]) {
      const isDropped = isRemoved(entry);
      return make("span", { className: isDropped ? "badge drop" : "badge keep", text: isKeeper ? words.keeper : isDropped ? words.removal : words.shown });
    }
    const isDropped = isRemoved(entry);
    const box = make("input", { type: "checkbox", checked: isDropped });
    const label = make("label", { className: `badge ${isDropped ? "drop" : "keep"}` }, box, isDropped ? words.removal : `${words.keeper}: your choice`);
    box.setAttribute("aria-label", `${words.removal} ${entry[PATH]}`);
    box.addEventListener("change", () => choose([entry], box.checked));
    return label;
  }

  // Makes the figure of a file; of a keeper the other files of its group are given.
  function picture(entry, { others, keeper }) {
    const isKeeper = others !== undefined;
    const facts = make("div", { className: "facts" }, badge(entry, isKeeper));
    if (!isKeeper) facts.append(make("span", { text: relations[entry[RELATION]] }), make("span", { text: `distance ${entry[DISTANCE]}` }));
    const peak = Math.round(entry[COMPARISON]?.[PEAK] ?? 0);
    if (peak) facts.append(make("span", { text: `peak ${peak}` }));
    const size = make("div", { className: "facts" },
      make("span", { text: `${entry[WIDTH]} \u00d7 ${entry[HEIGHT]}` }), make("span", { text: inUnits(entry[BYTES]) }));
    if (entry[LABEL]) size.append(make("span", { text: `label ${entry[LABEL]}` }));
    const caption = make("figcaption", {}, facts, size);
    if (entry[COMPARISON]) caption.append(explanation(entry[COMPARISON]));
    if (entry[CONFLICT]) caption.append(make("div", { className: "conflict", text: entry[CONFLICT] }));
    caption.append(pathElement(entry[PATH], entry[HIDDEN]), copyButton(entry[PATH]));
    return make("figure", { className: "picture" }, preview(entry, boxesOf(entry, others), keeper), caption);
  }

  function titleOf(group) {
    const title = make("h2", {}, make("b", { text: `Group ${group.number + 1}` }));
    const nRemoved = removed(group.others).length;
    const nShown = group.others.filter((entry) => !proposed.has(entry)).length;
    const nSpared = group.others.length - nRemoved - nShown;
    if (nRemoved) title.append(` \u00b7 ${nRemoved.toLocaleString("en")} ${words.counted}`);
    if (nSpared) title.append(` \u00b7 ${nSpared.toLocaleString("en")} kept by your choice`);
    if (nShown) title.append(` \u00b7 ${nShown.toLocaleString("en")} ${words.shown}`);
    if (words.saves && nRemoved) title.append(` \u00b7 ${words.saves} ${inUnits(total(group.others))}`);
    return title;
  }

  function card(group) {
    const { keeper, others } = group;
    const figures = make("div", { className: "others" }, ...others.slice(0, FEW).map((entry) => picture(entry, { keeper })));
    const rest = others.slice(FEW);
    if (rest.length) {
      const more = button(`Show ${rest.length.toLocaleString("en")} more`, () => more.replaceWith(...rest.map((entry) => picture(entry, { keeper }))));
      more.className = "more";
      figures.append(more);
    }
    const article = make("article", { className: "group" }, titleOf(group), picture(keeper, { others }), figures);
    article.dataset.number = group.number;
    return article;
  }

  // Shows how many groups and files fit the filter, and what the plan removes.
  function count() {
    const n = shown.length, pages = Math.max(1, Math.ceil(n / PAGE));
    const files = shown.reduce((sum, group) => sum + removed(group.others).length, 0).toLocaleString("en");
    const where = `${n.toLocaleString("en")} ${n === 1 ? "group" : "groups"}, ${files} ${words.counted} \u00b7 page ${page + 1} of ${pages}`;
    document.querySelectorAll(".where").forEach((line) => (line.textContent = where));
    document.querySelectorAll("[data-step]").forEach((each) => (each.disabled = each.dataset.step < 0 ? page === 0 : page === pages - 1));
    const left = [...proposed].filter(isRemoved);
    byId("chosen").textContent = `${counted(left.length, "file")} of ${proposed.size.toLocaleString("en")} ${words.counted}, saving ${inUnits(total(left))}`;
  }

  function draw() {
    page = Math.min(Math.max(page, 0), Math.max(1, Math.ceil(shown.length / PAGE)) - 1);
    const part = shown.slice(page * PAGE, (page + 1) * PAGE);
    list.replaceChildren(...(part.length ? part.map(card) : [make("p", { className: "empty", text: groups.length ? "No group fits these filters." : words.none })]));
    count();
  }

  // Takes files out of the plan, or puts them back; the groups stay where they are.
  function choose(entries, isToGo) {
    for (const entry of entries) isToGo ? spared.delete(entry) : spared.add(entry);
    byId("apply").textContent = "";
    const changed = new Set(entries);
    for (const group of shown.slice(page * PAGE, (page + 1) * PAGE)) {
      if (!group.others.some((entry) => changed.has(entry))) continue;
      const article = list.querySelector(`[data-number="${group.number}"]`);
      article.querySelector("h2").replaceWith(titleOf(group));
      article.querySelectorAll(".others .picture").forEach((figure, i) => {
        const label = figure.querySelector(".badge"), hasFocus = label.contains(document.activeElement);
        label.replaceWith(badge(group.others[i], false));
        if (hasFocus) figure.querySelector(".badge input").focus();
      });
    }
    count();
  }

  const fitting = () => shown.flatMap((group) => group.others.filter((entry) => entry[LINE]));

  function savePlan() {
    const left = new Set([...proposed].filter(isRemoved).map((entry) => entry[LINE]));
    save(new Blob(plan.filter((_, line) => line === 0 || left.has(line)), { type: "application/jsonl" }), "plan.jsonl");
    byId("apply").textContent = `The plan removes ${counted(left.size, "file")}. Nothing is removed yet; to remove them, run: imgdup apply plan.jsonl --move-to FOLDER`;
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
    const box = make("input", { type: "checkbox", checked: true, defaultChecked: true, value: number });
    return make("label", { className: "chip" }, box, name, make("small", { text: counts[number].toLocaleString("en") }));
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
    const step = event.target.closest("[data-step]");
    if (!step) return;
    page += Number(step.dataset.step);
    draw();
    form.scrollIntoView({ block: "end" });
  });
  dialog.addEventListener("keydown", (event) => {
    const found = comparer.keys.find(([key]) => key === event.key);
    if (!found || event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input")) return;
    event.preventDefault();
    found[2]();
  });
  byId("choice").hidden = !hasPlan;
  byId("keep-these").onclick = () => choose(fitting(), false);
  byId("remove-these").onclick = () => choose(fitting(), true);
  byId("save").onclick = savePlan;
  filter();
  document.documentElement.dataset.ready = Math.round(performance.now());
})();

// Show the view that the address names, and let keys act in it.

import { record } from "./api.js";
import { KEYS as COMPARE_KEYS } from "./compare.js";
import { redo, undo } from "./decisions.js";
import { KEYS as GROUP_KEYS, load, onSearch, sayUpdated } from "./groups.js";
import { button, byId, counted, make, message } from "./parts.js";
import { KEYS as SEARCH_KEYS, searchFor } from "./search.js";

const EVERYWHERE = [
  ["u", "undo the last decision", undo],
  ["r", "redo it", redo],
  ["?", "show these keys", () => showKeys()],
];
const VIEWS = { groups: GROUP_KEYS, search: SEARCH_KEYS };
const view = () => (location.hash.slice(1) in VIEWS ? location.hash.slice(1) : "groups");
const keysNow = () => (byId("compare").open ? COMPARE_KEYS : [...VIEWS[view()], ...EVERYWHERE]);

// Errors of the service are shown; they happen in functions that nobody waits for.
addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  if (event.reason?.word === "no-token") message("Open the address that imgdup serve printed: it holds the token.");
  else if (event.reason?.word === "old-generation") start().then(sayUpdated);
  else message(event.reason?.message ?? String(event.reason));
});

function show() {
  for (const name of Object.keys(VIEWS)) {
    byId(name).hidden = name !== view();
    const link = byId(`to-${name}`);
    if (name === view()) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function showKeys() {
  const rows = keysNow().map(([key, words]) => make("tr", {}, make("th", { scope: "row" }, make("kbd", { text: key })), make("td", { text: words })));
  byId("help").replaceChildren(make("h2", { text: "Keys" }), make("table", {}, ...rows), button("Close", () => byId("help").close(), "Esc"));
  byId("help").showModal();
}

document.addEventListener("keydown", (event) => {
  const isTyping = event.target.matches?.("input:not([type=checkbox]):not([type=range]), select, textarea");
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
  if (event.target.matches?.("input[type=range]") && event.key.startsWith("Arrow")) return;
  const found = keysNow().find(([key]) => key === event.key);
  if (!found) return;
  event.preventDefault();
  return found[2]();
});

async function start() {
  const info = await record("info");
  byId("facts").textContent = `${counted(info.images, "image")}${info.roots ? ` in ${info.roots.join(", ")}` : ""}`;
  byId("text-label").hidden = byId("plan").hidden = !info.show_paths;
  byId("accepted-only").parentElement.hidden = !info.show_paths;
  byId("most").max = info.bits;
  await load();
}

byId("keys").onclick = showKeys;
addEventListener("hashchange", show);
onSearch(searchFor);
show();
start();

// Ask the service. The token comes with the address of the page, is kept for this tab, and is sent
// with every request.

const KEY = "imgdup-token";
const MOST_AT_ONCE = 6; // pictures that are loaded at the same time

const given = new URLSearchParams(location.hash.slice(1)).get("token");
if (given) {
  sessionStorage.setItem(KEY, given);
  history.replaceState(null, "", location.pathname); // so that it is not in the history
}

export class Refused extends Error {
  constructor(status, record) {
    super(record.detail);
    this.status = status;
    this.word = record.error;
  }
}

const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

// Ask until the answer is there: meanwhile `waiting` is called with the progress.
export async function ask(address, { method = "GET", body, type, waiting = () => {} } = {}) {
  const headers = {};
  const token = sessionStorage.getItem(KEY);
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) headers["Content-Type"] = type ?? "application/json";
  const sent = body === undefined || type ? body : JSON.stringify(body);
  for (;;) {
    const answer = await fetch(`api/${address}`, { method, headers, body: sent });
    if (answer.ok && answer.status !== 202) return answer;
    const record = await answer.json();
    if (answer.status === 202) waiting(record);
    else if (answer.status !== 503 || !answer.headers.has("Retry-After")) {
      throw new Refused(answer.status, record);
    }
    await pause(Number(answer.headers.get("Retry-After")) || 1);
  }
}

export async function record(address, options) {
  return (await ask(address, options)).json();
}

const urls = new Map(); // of the pictures that were loaded
const queue = [];
let nLoading = 0;

async function loadNext() {
  if (nLoading >= MOST_AT_ONCE || !queue.length) return;
  nLoading += 1;
  const { address, resolve, reject } = queue.shift();
  try {
    const url = URL.createObjectURL(await (await ask(address)).blob());
    urls.set(address, url);
    resolve(url);
  } catch (error) {
    reject(error);
  } finally {
    nLoading -= 1;
    loadNext();
  }
}

// Return the address of a picture in this page's memory.
export function picture(id, side) {
  const address = `images/${id}/thumbnail?side=${side}`;
  if (urls.has(address)) return Promise.resolve(urls.get(address));
  return new Promise((resolve, reject) => {
    queue.push({ address, resolve, reject });
    loadNext();
  });
}

// Forget all pictures, before a page of others is shown.
export function forgetPictures() {
  for (const url of urls.values()) URL.revokeObjectURL(url);
  urls.clear();
  queue.length = 0;
}

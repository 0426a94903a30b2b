// The page: loads the model, takes pictures, and shows their captions.

import { Captioner } from "./cutline-web.js";
import { save, toCsv, toHtml, toJsonLines, toText } from "./lib/exports.js";
import { fromInput, fromTransfer } from "./lib/inputs.js";
import { Row } from "./lib/rows.js";

const find = (id) => document.getElementById(id);
const megabytes = (bytes) => `${(bytes / 1e6).toFixed(0)} MB`;
const say = (text) => { find("status").textContent = text; };

let captioner;
let rows = [];
let times = [];

// ----------------------------------------------------------------------------------- the model

async function load() {
  find("resume").hidden = true;
  const onProgress = ({ loaded, total }) => {
    find("progress").value = loaded / total;
    find("loaded").textContent = `Loading the model: ${megabytes(loaded)} of ${megabytes(total)}`;
  };
  try {
    captioner = await Captioner.load(undefined, { onProgress, onDownloaded: closeConnections });
  } catch (error) {
    find("loaded").textContent = `The model could not be loaded (${error.message}). What has arrived is kept.`;
    find("resume").hidden = false;
    return;
  }
  find("loading").hidden = true;
  for (const row of rows) row.view = captioner.description.view;
  showCost();
  say(rows.length ? "" : "Ready.");
  captionWaiting();
}

/** From here on neither the page nor the worker, which inherits this, can send anything. */
function closeConnections() {
  const policy = document.createElement("meta");
  policy.httpEquiv = "Content-Security-Policy";
  policy.content = "connect-src 'none'; img-src blob:";
  document.head.append(policy);
}

function showCost() {
  const { files } = captioner.description;
  const parts = Object.values(files).flatMap((file) => file.parts);
  const sent = megabytes(parts.reduce((sum, part) => sum + part.sent, 0));
  const median = times.length ? `; ${times.toSorted((a, b) => a - b)[times.length >> 1].toFixed(0)} ms a picture` : "";
  find("cost").textContent = `The model and its runtime are a download of ${sent}, kept for use offline${median}.`;
}

// ------------------------------------------------------------------------------------ pictures

function add(pictures) {
  if (!pictures.length) return;
  const made = pictures.map((picture) => new Row(picture, { view: captioner?.description.view, again, copy }));
  rows.push(...made);
  find("rows").append(...made.map((row) => row.element));
  find("results").hidden = false;
  if (captioner) captionWaiting();
  else say("Waiting for the model.");
}

let working = false;

async function captionWaiting() {
  if (working) return;
  working = true;
  for (let row; (row = rows.find((each) => !each.told)); ) {
    await captionOne(row);
    const done = rows.filter((each) => each.told).length;
    say(`${done} of ${rows.length} ${rows.length === 1 ? "picture" : "pictures"} captioned.`);
  }
  working = false;
  showCost();
}

async function captionOne(row, options = {}) {
  try {
    row.show(await captioner.caption(row.file, { attention: true, ...options }));
    times.push(captioner.milliseconds);
  } catch (error) {
    row.show({ error: error.message });
  }
  row.threshold = Number(find("threshold").value);
}

const again = (row) => captionOne(row, { anyPicture: true });

async function copy(text) {
  const copied = navigator.clipboard?.writeText(text) ?? Promise.reject(); // not on http://
  await copied.then(() => say("Copied."), () => say("The browser does not allow copying here."));
}

// ------------------------------------------------------------------------------------ controls

for (const kind of ["files", "folder", "camera"]) {
  const input = find(`${kind}-input`);
  find(kind).addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    add(fromInput(input));
    input.value = "";
  });
}

addEventListener("paste", async (event) => add(await fromTransfer(event.clipboardData)));
addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dropping");
});
for (const kind of ["dragleave", "drop"]) addEventListener(kind, () => document.body.classList.remove("dropping"));
addEventListener("drop", async (event) => {
  event.preventDefault();
  add(await fromTransfer(event.dataTransfer));
});

find("threshold").addEventListener("input", ({ target }) => {
  find("percent").textContent = `${Math.round(100 * target.value)}%`;
  for (const row of rows) row.threshold = Number(target.value);
});

const records = () => rows.map((row) => row.record);
find("copy-all").addEventListener("click", () => copy(toText(records())));
find("save-csv").addEventListener("click", () => save(toCsv(records()), "captions.csv", "text/csv"));
find("save-json").addEventListener("click", () => save(toJsonLines(records()), "captions.jsonl", "application/jsonl"));
find("save-html").addEventListener("click", () => save(toHtml(records()), "captions.html", "text/html"));
find("clear").addEventListener("click", () => {
  for (const row of rows) row.remove();
  [rows, times] = [[], []];
  find("results").hidden = true;
  say("Cleared.");
});
find("resume").addEventListener("click", load);

navigator.serviceWorker?.register("sw.js", { updateViaCache: "none" }).catch(() => {}); // not on http://
load();

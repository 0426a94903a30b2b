// Captions pictures in the browser:
//
//   import { Captioner } from "./cutline-web.js";
//   const captioner = await Captioner.load();
//   const { caption, confidence } = await captioner.caption(blob);

import { download } from "./lib/download.js";

export class Captioner {
  #worker;
  #waiting = new Map();
  #next = 0;

  /** What the model is: its view, vocabulary, card and thresholds. */
  description;
  /** Milliseconds that the last picture took. */
  milliseconds = NaN;

  /**
   * Loads the model of the site at `url`, by default the one that this module is from.
   * Options: `onProgress({loaded, total})` in bytes; `onDownloaded()`, after which nothing is fetched;
   * `signal` to stop; `threads`.
   */
  static async load(url = new URL(".", import.meta.url), options = {}) {
    const { onProgress, onDownloaded, signal, threads = defaultThreads() } = options;
    const site = new URL(url, globalThis.location?.href);
    const response = await fetch(new URL("captioner.json", site), { signal });
    if (!response.ok) throw new Error(`there is no captioner at ${site}: ${response.status} ${response.statusText}`);
    const description = await response.json();
    const { model, runtime } = await download(site, description.files, { onProgress, signal });
    onDownloaded?.();
    const captioner = new Captioner(site, description);
    const given = { description, model, runtime: runtime.buffer, threads };
    await captioner.#ask("start", given, [model.buffer, runtime.buffer]);
    return captioner;
  }

  /** Use `Captioner.load`. */
  constructor(site, description) {
    this.description = description;
    this.#worker = startWorker(new URL("lib/worker.js", site));
    this.#worker.addEventListener("message", ({ data }) => this.#settle(data));
    this.#worker.addEventListener("error", (event) => this.#fail(event.message ?? "the worker does not start"));
  }

  /**
   * Captions a picture file; several calls are done in order. Resolves to what
   * `cutline caption --json` prints, rejects for what is not a picture. Options: `best`, `form`
   * ("auto", "sentence", "phrase"), `anyPicture`, `sentence`, `attention`.
   */
  caption(blob, options = {}) {
    return this.#ask("caption", { blob, options });
  }

  /** Frees the memory. */
  close() {
    this.#worker.terminate();
    this.#fail("the captioner was closed");
  }

  #ask(task, given, transfer = []) {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ id, task, given }, transfer);
    });
  }

  #settle({ id, result, error, milliseconds }) {
    const { resolve, reject } = this.#waiting.get(id);
    this.#waiting.delete(id);
    this.milliseconds = milliseconds ?? this.milliseconds;
    if (error === undefined) resolve(result);
    else reject(new Error(error));
  }

  #fail(message) {
    for (const { reject } of this.#waiting.values()) reject(new Error(message));
    this.#waiting.clear();
  }
}

/** Without isolation (COOP and COEP headers) memory cannot be shared, so there is one thread. */
const defaultThreads = () =>
  globalThis.crossOriginIsolated ? Math.max(1, Math.min(4, Math.floor(navigator.hardwareConcurrency / 2))) : 1;

/**
 * From a blob, so that the worker inherits the policy of the page and `url` may be on another site;
 * but where the service worker answers, which gives a policy too and works offline, from its address:
 * Firefox passes it no request of a worker from a blob.
 */
function startWorker(url) {
  const isKept = navigator.serviceWorker?.controller && url.href.startsWith(new URL(".", navigator.serviceWorker.controller.scriptURL).href);
  if (isKept) return new Worker(url, { type: "module" });
  const blob = new Blob([`import ${JSON.stringify(url.href)};`], { type: "text/javascript" });
  const address = URL.createObjectURL(blob);
  const worker = new Worker(address, { type: "module" });
  worker.addEventListener("message", () => URL.revokeObjectURL(address), { once: true });
  return worker;
}

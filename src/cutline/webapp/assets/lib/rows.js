// A row of the table for each picture: thumbnail, caption word by word, confidence, actions.

import { followWords } from "./attention.js";
import { leaveOutUnsure, toImg } from "./exports.js";

const make = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};

export class Row {
  #caption = make("td");
  #confidence = make("td");
  #actions = make("td");
  #image;
  #canvas = make("canvas", { ariaHidden: "true" });
  #threshold = 0;

  /** `view` is the model's; `again(row)` captions the picture although it is not a photograph. */
  constructor({ file, path }, { view, again, copy }) {
    Object.assign(this, { file, path, view, again, copy });
    this.#image = make("img", { src: URL.createObjectURL(file), alt: "", loading: "lazy", decoding: "async" });
    this.#image.addEventListener("error", () => { this.#image.hidden = true; });
    const picture = make("td", {}, make("div", { className: "shown" }, this.#image, this.#canvas), make("div", { className: "name" }, path));
    this.element = make("tr", {}, picture, this.#caption, this.#confidence, this.#actions);
    this.#caption.textContent = "waiting";
    this.#caption.className = "hint";
  }

  /** Shows a caption, as the module tells it, or `{error}`. */
  show(told) {
    this.told = told;
    this.#render();
  }

  set threshold(threshold) {
    this.#threshold = threshold;
    if (this.told) this.#render();
  }

  /** As `cutline caption --json` has it, without the attention. */
  get record() {
    const told = leaveOutUnsure(this.told ?? { error: "not captioned yet" }, this.#threshold);
    const words = told.words?.map(({ word, probability }) => ({ word, probability }));
    return { path: this.path, ...told, ...(words ? { words } : {}) };
  }

  #render() {
    const { caption, words, confidence, error, left_out: leftOut } = leaveOutUnsure(this.told, this.#threshold);
    this.#image.alt = caption ? `${caption} (machine-written)` : "";
    this.#canvas.classList.remove("on");
    this.#caption.className = error ? "wrong" : caption ? "" : "hint";
    this.#confidence.textContent = this.told.caption ? `${Math.round(100 * confidence)}%` : "";
    this.#actions.replaceChildren();
    if (!caption) {
      this.#caption.textContent = error ?? `no caption: ${leftOut}`;
      if (this.told.caption === null) this.#act("Caption anyway", () => this.again(this));
      return;
    }
    if (words.some(({ gaze }) => gaze)) this.#renderWords(words); // a phrase has none
    else this.#caption.textContent = caption;
    this.#act("Copy", () => this.copy(caption));
    this.#act("Copy HTML", () => this.copy(toImg({ path: this.path, caption })));
  }

  #renderWords(words) {
    const buttons = words.map(({ word, probability }, at) =>
      make("button", { type: "button", className: "word", tabIndex: at ? -1 : 0, ariaPressed: "false", title: `${Math.round(100 * probability)}%` }, word));
    const line = make("div", { role: "toolbar", ariaLabel: "the caption, word by word" });
    const isClitic = (word) => /^(?:n't|'(?:s|m|d|ll|re|ve))$/.test(word);
    buttons.forEach((button, at) => line.append(...(at && !isClitic(words[at].word) ? [" "] : []), button));
    this.#caption.replaceChildren(line);
    followWords(line, this.#canvas, words, this.view);
  }

  #act(label, action) {
    const button = make("button", { type: "button" }, label);
    button.setAttribute("aria-label", `${label}: ${this.path}`);
    button.addEventListener("click", action);
    this.#actions.append(button, " ");
  }

  remove() {
    URL.revokeObjectURL(this.#image.src);
    this.element.remove();
  }
}

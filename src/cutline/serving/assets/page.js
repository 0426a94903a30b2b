"use strict";
// Captions pictures as they are dropped, pasted or chosen, and shows where each word looked.
{
  const AT_ONCE = 4; // requests under way
  const FINE = 56; // pixels of a drawn gaze, either way: the browser stretches it
  const DARKEST = 0.8;

  const find = (selector) => document.querySelector(selector);
  const make = (tag, name, text = "") => {
    const made = document.createElement(tag);
    made.className = name;
    made.textContent = text;
    return made;
  };
  const form = find("form");
  const input = find("#pictures");
  const waiting = [];
  let underWay = 0;
  let done = 0;
  let total = 0;

  document.documentElement.classList.add("js");
  input.multiple = true;

  // ------------------------------------------------------------------ where pictures come from
  form.addEventListener("submit", (event) => { event.preventDefault(); take(input.files); });
  input.addEventListener("change", () => { take(input.files); input.value = ""; });
  addEventListener("paste", (event) => take(event.clipboardData.files));
  for (const name of ["dragenter", "dragover"]) {
    addEventListener(name, (event) => { event.preventDefault(); form.classList.add("over"); });
  }
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) form.classList.remove("over"); });
  addEventListener("drop", (event) => {
    event.preventDefault();
    form.classList.remove("over");
    take(event.dataTransfer.files);
  });

  function take(files) {
    for (const file of [...files]) {
      const card = make("li", "card");
      find("#results").prepend(card);
      waiting.push([file, card]);
      total += 1;
    }
    while (underWay < AT_ONCE && waiting.length) next();
  }

  async function next() {
    const [file, card] = waiting.shift();
    underWay += 1;
    find("#status").textContent = `${done} of ${total} captioned`;
    try {
      show(file, card, await ask(file));
    } catch {
      card.append(make("p", "wrong", `${file.name}: the server does not answer`));
    }
    underWay -= 1;
    done += 1;
    find("#status").textContent = `${done} of ${total} captioned`;
    if (waiting.length) next();
  }

  async function ask(file) {
    for (;;) {
      const answer = await fetch("caption?gaze=1", {
        method: "POST", body: file, headers: { "Content-Type": "application/octet-stream" },
      });
      if (answer.status !== 503) return answer.json();
      const seconds = Number(answer.headers.get("Retry-After")) || 1;
      await new Promise((wake) => setTimeout(wake, 1000 * seconds));
    }
  }

  // ------------------------------------------------------------------------------ what is shown
  function show(file, card, told) {
    const name = file.name || "a pasted picture";
    if (told.error) {
      card.append(make("p", "wrong", `${name}: ${told.error}`));
      return;
    }
    const shown = make("div", "shown");
    const image = make("img", "");
    image.src = URL.createObjectURL(file);
    image.alt = told.caption ? `${told.caption} (machine-written)` : told.left_out;
    const canvas = make("canvas", "");
    Object.assign(canvas, { width: FINE, height: FINE, ariaHidden: "true" });
    shown.append(image, canvas);
    card.append(shown, told.caption ? line(told, canvas) : make("p", "caption", told.left_out));
    const sure = told.caption ? `confidence ${Math.round(100 * told.confidence)} %, ` : "";
    card.append(make("p", "facts", sure + name));
  }

  function line(told, canvas) {
    const words = told.words.filter((word) => word.gaze);
    // a phrase in place of a sentence has words, but looked nowhere
    if (!words.length) return make("p", "caption", told.caption);
    const shown = make("p", "caption");
    shown.dir = "auto";
    shown.setAttribute("role", "toolbar");
    shown.setAttribute("aria-label", "the caption, word by word");
    const buttons = words.map((word, i) => {
      const button = make("button", "", word.word);
      Object.assign(button, { type: "button", tabIndex: i ? -1 : 0, ariaPressed: "false" });
      const light = () => { draw(canvas, word.gaze); press(button); };
      const dim = () => { canvas.classList.remove("on"); press(null); };
      for (const [event, act] of [["pointerenter", light], ["focus", light], ["pointerleave", dim], ["blur", dim]]) {
        button.addEventListener(event, act);
      }
      return button;
    });
    const press = (pressed) => { for (const each of buttons) each.ariaPressed = String(each === pressed); };
    shown.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      const place = buttons.indexOf(document.activeElement);
      const other = buttons[place + step];
      if (!other) return;
      buttons[place].tabIndex = -1;
      other.tabIndex = 0;
      other.focus();
    });
    shown.append(...buttons.flatMap((button, i) => (i && !button.textContent.startsWith("'") ? [" ", button] : [button])));
    return shown;
  }

  /** Dark where the word did not look. */
  function draw(canvas, gaze) {
    const side = Math.round(Math.sqrt(gaze.length));
    const small = new OffscreenCanvas(side, side);
    const pixels = new ImageData(side, side);
    const most = Math.max(...gaze);
    gaze.forEach((share, i) => { pixels.data[4 * i + 3] = 255 * DARKEST * (1 - share / most); });
    small.getContext("2d").putImageData(pixels, 0, 0);
    const pen = canvas.getContext("2d");
    pen.clearRect(0, 0, FINE, FINE);
    pen.imageSmoothingQuality = "high";
    pen.drawImage(small, 0, 0, FINE, FINE);
    canvas.classList.add("on");
  }
}

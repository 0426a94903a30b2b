"use strict";
// Search, sort orders and filters; pictures and words of cards near the window; attention of a word.
{
  const NEAR = 1500; // pixels outside the window within which cards are filled in
  const BUDGET = 4; // milliseconds per frame for filling in cards
  const FINE = 96; // pixels per side of an attention map, which the browser stretches
  const DARKEST = 0.8;
  const LEVELS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

  const find = (selector) => document.querySelector(selector);
  const make = (tag, name, text = "") => {
    const made = document.createElement(tag);
    made.className = name;
    made.textContent = text;
    return made;
  };
  const gallery = find(".gallery");
  const cards = [...document.querySelectorAll(".card")];

  // ------------------------------------------------------------------------ data of a card
  const sources = [...document.querySelectorAll("script.cards")];
  const chunks = sources.map(() => null);
  const place = new Map(cards.map((card, number) => [card, number]));
  const size = Number(gallery.dataset.chunk);

  function dataOf(card) {
    const number = place.get(card);
    const chunk = Math.floor(number / size);
    if (!chunks[chunk]) {
      chunks[chunk] = JSON.parse(sources[chunk].textContent);
      sources[chunk].remove(); // its text is not needed twice
    }
    return chunks[chunk][number % size];
  }

  // ------------------------------------------------------- the picture and words of a card
  const filled = new WeakSet();
  const meaning = new WeakMap(); // word button -> data of the word

  function fillIn(card) {
    if (filled.has(card)) return;
    filled.add(card);
    const data = dataOf(card);
    card.querySelector(".frame").append(data.wrong ? make("p", "wrong", data.wrong) : picture(data));
    card.querySelectorAll(":scope > .caption").forEach((line, i) => setWords(line, data.lines[i], data.boxes?.[i]));
  }

  function picture(data) {
    const [width, height] = data.size;
    const shown = make("div", width / height >= 4 / 3 ? "shown broad" : "shown tall");
    shown.style.aspectRatio = `${width} / ${height}`;
    const image = make("img", "");
    Object.assign(image, { alt: data.alt, width, height, decoding: "async", src: data.picture });
    const canvas = make("canvas", "gaze");
    Object.assign(canvas, { width: FINE, height: FINE, ariaHidden: "true" });
    shown.append(image, canvas);
    return shown;
  }

  function setWords(line, words, box) {
    const data = words.map(([text, likely, place, gaze, changed]) => ({ text, likely, place, gaze, changed, box }));
    if (!data.some((word) => word.likely !== null || word.gaze)) return; // there is nothing to add to the text
    line.replaceChildren(...data.flatMap((word, i) => {
      const text = word.text.trimStart();
      const button = make("button", word.changed ? "word changed" : "word", text);
      Object.assign(button, { type: "button", tabIndex: i ? -1 : 0, ariaPressed: "false" });
      button.style.setProperty("--likely", (word.likely ?? 0) / 100);
      const more = [word.changed ? "changed" : "", say(word)].filter(Boolean);
      if (more.length) button.append(make("span", "unseen", `, ${more.join(", ")}`));
      meaning.set(button, word);
      return word.text === text ? [button] : [" ", button];
    }));
    line.setAttribute("role", "toolbar");
    line.setAttribute("aria-label", "the caption, word by word");
  }

  const say = (word) => [
    word.likely === null ? "" : `${word.likely}%`,
    word.place && (word.place === "all over" ? "looked all over" : `looked at the ${word.place}`),
  ].filter(Boolean).join(", ");

  // An IntersectionObserver would check each of thousands of cards every frame.
  let order = cards; // the cards shown, in order
  let asked = false;

  function look() { // fill in cards near the window, a few per frame, so that scrolling does not stutter
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      const near = []; // all are measured before any changes, which takes one layout
      for (let i = firstBelow(-NEAR); i < order.length; i++) {
        if (order[i].getBoundingClientRect().top > innerHeight + NEAR) break;
        if (!filled.has(order[i])) near.push(order[i]);
      }
      const end = performance.now() + BUDGET;
      while (near.length && performance.now() < end) fillIn(near.shift());
      if (near.length) look();
    });
  }

  function firstBelow(line) { // binary search: cards are never above those before them
    let [low, high] = [0, order.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (order[middle].getBoundingClientRect().bottom < line) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  addEventListener("scroll", look, { passive: true });
  addEventListener("resize", look);

  gallery.addEventListener("toggle", (event) => { // candidates get their words when they are opened
    const details = event.target;
    if (!details.matches(".candidates") || !details.open) return;
    const data = dataOf(details.closest(".card"));
    details.querySelectorAll(".caption:not([role])").forEach((line, i) => setWords(line, data.others[i], data.boxes?.[0]));
  }, true);

  // ------------------------------------------------------------------------------ attention
  let pointed = null;

  function settle(card) { // show the word under the pointer, else the focused one, else the pressed one
    const focused = card.contains(document.activeElement) ? document.activeElement : null;
    const under = card.contains(pointed) ? pointed : null;
    const pressed = card.querySelector('.word[aria-pressed="true"]');
    const word = [under, focused, pressed].map((each) => each && meaning.get(each)).find(Boolean);
    const canvas = card.querySelector("canvas");
    const reading = word && say(word) ? `${word.text.trim()}: ${say(word)}` : "";
    card.querySelector(".reading").textContent = reading;
    card.classList.toggle("reads", Boolean(reading));
    if (!canvas) return;
    canvas.classList.toggle("on", Boolean(word?.gaze));
    if (word?.gaze) draw(canvas, word.gaze, word.box ?? [0, 0, 1, 1]);
  }

  function draw(canvas, gaze, [left, top, right, bottom]) {
    const side = Math.sqrt(gaze.length);
    const shares = [...gaze].map((letter) => LEVELS.indexOf(letter));
    const across = weights(side, left, right);
    const down = weights(side, top, bottom);
    const values = new Float32Array(FINE * FINE);
    let most = 0;
    for (let y = 0; y < FINE; y++) {
      for (let x = 0; x < FINE; x++) {
        let value = 0;
        for (const [row, a] of down[y]) for (const [column, b] of across[x]) value += a * b * shares[row * side + column];
        values[y * FINE + x] = value;
        most = Math.max(most, value);
      }
    }
    const drawn = new ImageData(FINE, FINE); // black with varying transparency
    values.forEach((value, i) => { drawn.data[4 * i + 3] = 255 * DARKEST * (1 - value / (most || 1)); });
    canvas.getContext("2d").putImageData(drawn, 0, 0);
  }

  // The weight of each region for each pixel: a cubic B-spline, smooth and never negative.
  // Pixels outside the part that the model saw get none.
  function weights(side, from, to) {
    return Array.from({ length: FINE }, (_, pixel) => {
      const at = ((pixel + 0.5) / FINE - from) / (to - from);
      if (at < 0 || at > 1) return [];
      const centre = at * side - 0.5;
      const first = Math.floor(centre) - 1;
      return [0, 1, 2, 3].map((step) => {
        const far = Math.abs(centre - first - step);
        const weight = far < 1 ? 2 / 3 - far * far + far ** 3 / 2 : Math.max(0, 2 - far) ** 3 / 6;
        return [Math.min(side - 1, Math.max(0, first + step)), weight];
      });
    });
  }

  const wordOf = (event) => event.target.closest?.(".word");
  for (const kind of ["pointerover", "pointerout", "focusin", "focusout"]) {
    gallery.addEventListener(kind, (event) => {
      const word = wordOf(event);
      if (!word) return;
      if (kind === "pointerover") pointed = word;
      if (kind === "pointerout") pointed = null;
      if (kind === "focusin") for (const each of word.parentElement.querySelectorAll(".word")) each.tabIndex = each === word ? 0 : -1;
      // on focusout no element has the focus yet
      if (kind === "focusout") queueMicrotask(() => settle(word.closest(".card")));
      else settle(word.closest(".card"));
    });
  }
  gallery.addEventListener("click", (event) => {
    const word = wordOf(event);
    if (!word) return;
    const pressed = word.ariaPressed === "true";
    for (const each of word.closest(".card").querySelectorAll(".word")) each.ariaPressed = "false";
    word.ariaPressed = String(!pressed);
    settle(word.closest(".card"));
  });

  // ------------------------------------------------------------------------------- the keys
  gallery.addEventListener("keydown", (event) => {
    const word = wordOf(event);
    if (!word || event.ctrlKey || event.altKey || event.metaKey) return;
    const goal = next(word, event.key);
    if (goal === undefined) return;
    event.preventDefault();
    goal?.focus();
  });

  function next(word, key) { // undefined: another key; null: no such word
    const words = [...word.parentElement.querySelectorAll(".word")];
    const leftwards = getComputedStyle(word.parentElement).direction === "rtl";
    const step = { ArrowRight: leftwards ? -1 : 1, ArrowLeft: leftwards ? 1 : -1 }[key];
    if (step) return words[words.indexOf(word) + step] ?? null;
    if (key === "Home") return words[0];
    if (key === "End") return words.at(-1);
    if (key === "ArrowDown") return neighbour(word, 1);
    if (key === "ArrowUp") return neighbour(word, -1);
    return undefined;
  }

  function neighbour(word, step) { // the caption before or after, of this card or of another
    const stop = '.word[tabindex="0"]';
    const inside = (card) => [...card.querySelectorAll(stop)].filter((each) => each.checkVisibility());
    let card = word.closest(".card");
    const here = inside(card);
    const beside = here[here.indexOf(word) + step];
    if (beside) return beside;
    while ((card = step > 0 ? card.nextElementSibling : card.previousElementSibling)) {
      if (card.hidden) continue;
      fillIn(card);
      const found = inside(card).at(step > 0 ? 0 : -1);
      if (found) return found;
    }
    return null;
  }

  // ---------------------------------------------------------------- search, filters, sorting
  const plain = (text) => text.normalize("NFC").toLowerCase();
  const texts = new Map(cards.map((card) => {
    const parts = [...card.querySelectorAll(":scope > h2, :scope > .caption, :scope > .error, :scope > .left")];
    return [card, plain(parts.map((part) => part.textContent).join(" "))];
  }));
  const [search, sort, show, under] = ["#search", "#sort", "#show", "#under"].map(find);
  const controls = find(".controls");

  function choose() {
    const wanted = plain(search.value).split(/\s+/).filter(Boolean);
    const bar = under ? Number(under.value) : 100;
    let left = 0;
    for (const card of cards) {
      const sure = 100 * Number(card.dataset.confidence ?? NaN);
      const fits = wanted.every((word) => texts.get(card).includes(word))
        && (!show.value || show.value in card.dataset)
        && (bar >= 100 || sure < bar);
      card.hidden = !fits;
      left += fits;
    }
    arrange();
    if (under) find("#bar").value = `${bar}%`;
    const all = `${cards.length.toLocaleString("en")} picture${cards.length === 1 ? "" : "s"}`;
    find("#count").textContent = left === cards.length ? all : `${left.toLocaleString("en")} of ${all}`;
  }

  function arrange() {
    order = [...gallery.children].filter((card) => !card.hidden);
    look();
  }

  function reorder() {
    const option = sort.selectedOptions[0];
    const names = new Intl.Collator("en", { numeric: true });
    const sign = option.dataset.descending === "1" ? -1 : 1;
    const number = (card) => Number(card.dataset[option.value] ?? NaN);
    const compare = {
      "": (a, b) => place.get(a) - place.get(b),
      name: (a, b) => names.compare(a.firstElementChild.textContent, b.firstElementChild.textContent),
    }[option.value] ?? ((a, b) => { // cards without the number come last in both directions
      const [one, other] = [number(a), number(b)];
      return (isNaN(one) - isNaN(other)) || sign * (one - other) || place.get(a) - place.get(b);
    });
    gallery.append(...[...cards].sort(compare));
    arrange();
  }

  controls.addEventListener("input", (event) => { if (event.target !== sort) choose(); });
  controls.addEventListener("submit", (event) => event.preventDefault());
  sort.addEventListener("change", reorder);
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.target.matches("input, select")) return;
    event.preventDefault();
    search.focus();
    search.select();
  });

  document.documentElement.classList.add("scripted");
  controls.hidden = false;
  choose(); // browsers restore the fields when going back
  if (sort.value) reorder();
}

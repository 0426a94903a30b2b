// Where the model looked for a word, as darkness over the rest of the picture.

const FINE = 96; // pixels of the drawing, either way: the browser stretches it
const DARKEST = 0.8;

/** Draws attention (thousandths of side * side regions) over the part of a picture that was seen. */
export function drawAttention(canvas, attention, { fit }) {
  canvas.width = canvas.height = FINE;
  const side = Math.sqrt(attention.length);
  const small = new OffscreenCanvas(side, side);
  const regions = new ImageData(side, side); // black, more or less transparent
  const most = Math.max(...attention, 1);
  attention.forEach((share, at) => { regions.data[4 * at + 3] = 255 * DARKEST * (1 - share / most); });
  small.getContext("2d").putImageData(regions, 0, 0);
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  if (fit !== "crop") context.drawImage(small, 0, 0, FINE, FINE);
  else drawCropped(context, small, canvas);
}

function drawCropped(context, small, canvas) {
  const { width, height } = canvas.getBoundingClientRect();
  const side = (Math.min(width, height) * 7) / 8;
  const [across, down] = [(FINE * side) / width, (FINE * side) / height];
  context.fillStyle = `rgb(0 0 0 / ${DARKEST})`;
  context.fillRect(0, 0, FINE, FINE);
  const place = [(FINE - across) / 2, (FINE - down) / 2, across, down];
  context.clearRect(...place);
  context.drawImage(small, ...place);
}

/** Shows it for the word under the pointer, else in focus, else pressed; arrow keys change words. */
export function followWords(line, canvas, words, view) {
  const buttons = [...line.querySelectorAll("button")];
  let pointed = null;
  const settle = () => {
    const focused = buttons.find((each) => each === document.activeElement);
    const shown = pointed ?? focused ?? buttons.find((each) => each.ariaPressed === "true");
    const attention = shown && words[buttons.indexOf(shown)].gaze;
    if (attention) drawAttention(canvas, attention, view);
    canvas.classList.toggle("on", Boolean(attention));
  };
  for (const kind of ["pointerover", "pointerout"]) {
    line.addEventListener(kind, ({ target }) => {
      pointed = kind === "pointerover" && buttons.includes(target) ? target : null;
      settle();
    });
  }
  line.addEventListener("focusin", settle);
  line.addEventListener("focusout", () => queueMicrotask(settle));
  line.addEventListener("click", ({ target }) => {
    const pressed = target.ariaPressed === "true";
    for (const each of buttons) each.ariaPressed = String(each === target && !pressed);
    settle();
  });
  line.addEventListener("keydown", (event) => {
    const steps = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity };
    const at = buttons.indexOf(event.target);
    if (!(event.key in steps) || at < 0) return;
    event.preventDefault();
    const next = Math.min(Math.max(at + steps[event.key], 0), buttons.length - 1);
    buttons.forEach((each, place) => { each.tabIndex = place === next ? 0 : -1; });
    buttons[next].focus();
  });
}

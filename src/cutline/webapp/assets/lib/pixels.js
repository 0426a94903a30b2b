// A picture file becomes the pixels that the model was trained to see, the same as in Python.

import { takeOrientation, turnUpright } from "./orientation.js";
import { Resizer } from "./resize.js";

const BAND = 4_000_000; // pixels that are read back from the canvas at a time
const MOST = 100_000_000; // pixels of a picture
const AS_STORED = { colorSpaceConversion: "none", premultiplyAlpha: "none" };

/** Pixels of a blob in the view `{size, fit}`: size * size * 3 bytes, RGB, upright, on white. */
export async function readPixels(blob, { size, fit }) {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  if (!bytes.length) throw new Error("the file is empty");
  const orientation = takeOrientation(bytes);
  const stored = orientation === 1 ? blob : new Blob([bytes], { type: blob.type });
  const bitmap = await createImageBitmap(stored, AS_STORED).catch(() => {
    throw new Error("this browser cannot read it as a picture");
  });
  try {
    return turnUpright(resize(bitmap, size, fit), size, orientation);
  } finally {
    bitmap.close();
  }
}

function resize(bitmap, size, fit) {
  const { width, height } = bitmap;
  if (width * height > MOST) throw new Error(`it has more than ${MOST / 1e6} megapixels`);
  const rows = Math.min(height, Math.max(1, Math.floor(BAND / width)));
  const canvas = new OffscreenCanvas(width, rows);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const resizer = new Resizer(width, height, size, boxOf(width, height, fit));
  for (let top = 0; top < height; top += rows) {
    context.clearRect(0, 0, width, rows);
    context.drawImage(bitmap, 0, -top);
    resizer.push(context.getImageData(0, 0, width, Math.min(rows, height - top)).data, top);
  }
  return resizer.finish();
}

/** The part of a picture that is seen: all of it, or the middle square of 7/8 of the short side. */
function boxOf(width, height, fit) {
  if (fit !== "crop") return [0, 0, width, height];
  const side = (Math.min(width, height) * 7) / 8;
  const [left, top] = [(width - side) / 2, (height - side) / 2];
  return [left, top, left + side, top + side];
}

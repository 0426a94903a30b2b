// Runs the page's JavaScript under node: {task, ...} comes on standard input, the answer leaves as JSON.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { pathToFileURL } from "node:url";

const load = (name) => import(pathToFileURL(join(process.env.ASSETS, "lib", name)));
const base64 = (bytes) => Buffer.from(bytes).toString("base64");
const bytesOf = (encoded) => new Uint8Array(Buffer.from(encoded, "base64"));

const tasks = {
  /** What captions the outputs of a model become. */
  async captions({ description, cases }) {
    const { CaptionReader } = await load("captions.js");
    const reader = new CaptionReader(description);
    return cases.map(({ written, options }) => {
      for (const tensor of Object.values(written)) if (tensor.type === "int64") tensor.data = tensor.data.map(BigInt);
      for (const tensor of Object.values(written)) tensor.data = tensor.data.map((each) => (each === null ? -Infinity : each));
      return reader.read(written, options);
    });
  },

  /** Pictures resized, their rows given in bands of `band`. */
  async resize({ cases }) {
    const { Resizer } = await load("resize.js");
    return cases.map(({ rgba, width, height, size, box, band }) => {
      const pixels = bytesOf(rgba);
      const resizer = new Resizer(width, height, size, box);
      for (let top = 0; top < height; top += band) resizer.push(pixels.slice(4 * width * top, 4 * width * Math.min(height, top + band)), top);
      return base64(resizer.finish());
    });
  },

  /** The orientation that each file tells, and a square turned upright by it. */
  async orientation({ paths, pixels, size }) {
    const { takeOrientation, turnUpright } = await load("orientation.js");
    return paths.map((path) => {
      const bytes = new Uint8Array(readFileSync(path));
      const first = takeOrientation(bytes);
      return { first, second: takeOrientation(bytes), upright: base64(turnUpright(bytesOf(pixels), size, first)) };
    });
  },

  /** The files that the page saves. */
  async exports({ records, threshold }) {
    const { leaveOutUnsure, toCsv, toHtml, toJsonLines } = await load("exports.js");
    const kept = records.map((record) => leaveOutUnsure(record, threshold));
    return { csv: toCsv(kept), html: toHtml(kept), jsonl: toJsonLines(kept) };
  },
};

const { task, ...given } = JSON.parse(await text(process.stdin));
process.stdout.write(JSON.stringify(await tasks[task](given)));

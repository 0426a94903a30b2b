// The worker: it holds the model, and turns pictures into captions one after the other.

import * as ort from "../runtime/ort.mjs";
import { CaptionReader } from "./captions.js";
import { readPixels } from "./pixels.js";

let session;
let reader;

const tasks = {
  async start({ description, model, runtime, threads }) {
    ort.env.wasm.wasmBinary = runtime;
    ort.env.wasm.numThreads = threads;
    const options = { executionProviders: ["wasm"], graphOptimizationLevel: "all", logSeverityLevel: 3 };
    session = await ort.InferenceSession.create(model, options);
    reader = new CaptionReader(description);
  },

  async caption({ blob, options }) {
    const { view } = reader.model;
    const pixels = await readPixels(blob, view);
    const written = await session.run({ pixels: new ort.Tensor("uint8", pixels, [1, view.size, view.size, 3]) });
    return reader.read(written, options);
  },
};

let queue = Promise.resolve();

addEventListener("message", ({ data: { id, task, given } }) => {
  queue = queue.then(async () => {
    const begun = performance.now();
    try {
      postMessage({ id, result: await tasks[task](given), milliseconds: performance.now() - begun });
    } catch (error) {
      postMessage({ id, error: error instanceof Error ? error.message : String(error) });
    }
  });
});

// For browser_peers.py: CPU time, bytes and memory of cutline's page and of transformers.js in Chromium.
// JSON on standard input: {name, folders, pictures}, one captioner per run of this program; JSON leaves.
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { launch, serve } from "../tests/browser/site.mjs";
import { cpuSeconds, processes } from "./processes.mjs";

const { name, folders, pictures } = JSON.parse(await text(process.stdin));
const server = await serve(...folders);
const browser = await launch("chrome", ["--js-flags=--max-old-space-size=8192"]);
const root = browser.process().pid;
const page = await browser.newPage();
page.setDefaultTimeout(0);
await page.goto(`${server.url}blank.html`);
const begun = cpuSeconds(root);
await page.evaluate(async (url, name) => {
  if (name === "cutline") {
    const { Captioner } = await import(`${url}cutline-web.js`);
    const captioner = await Captioner.load(url, { threads: 1 });
    window.caption = async (blob) => (await captioner.caption(blob)).caption;
    return;
  }
  const { AutoImageProcessor, AutoModelForVision2Seq, RawImage, env } = await import(`${url}transformers.min.js`);
  Object.assign(env, { allowRemoteModels: false, allowLocalModels: true, localModelPath: `${url}models/`, useBrowserCache: false });
  env.backends.onnx.wasm.numThreads = 1;
  const build = `${url}ort-wasm-simd-threaded.asyncify`;
  env.backends.onnx.wasm.wasmPaths = { mjs: `${build}.mjs`, wasm: `${build}.wasm` };
  const processor = await AutoImageProcessor.from_pretrained(name);
  const model = await AutoModelForVision2Seq.from_pretrained(name, { dtype: "q8", device: "wasm" });
  window.caption = async (blob) => {
    const { pixel_values } = await processor(await RawImage.fromBlob(blob));
    const words = await model.generate({ inputs: pixel_values, max_new_tokens: 20, min_new_tokens: 20 });
    return words.dims.join(" x ");
  };
}, server.url, name);
const caption = (each) => page.evaluate(async (address) => window.caption(await (await fetch(address)).blob()), server.url + each);
const told = [await caption(pictures[0])]; // the first one also compiles
const loaded = cpuSeconds(root);
for (const each of pictures) told.push(await caption(each));
const spent = cpuSeconds(root) - loaded;
const sizes = [...new Set(server.asked)].map((asked) => decodeURIComponent(asked.split(" ")[1]).slice(1))
  .filter((path) => !pictures.includes(path))
  .map((path) => folders.map((folder) => join(folder, path)).find((each) => existsSync(each) && statSync(each).isFile()))
  .map((path) => (path ? statSync(path).size : 0));
process.stdout.write(JSON.stringify({
  version: await browser.version(), told,
  cpu: spent / pictures.length, start: loaded - begun,
  bytes: sizes.reduce((sum, each) => sum + each, 0), memory: Math.max(...processes(root).map(peak)),
}));
await browser.close();
server.close();
server.closeAllConnections();

/** The most memory that a process has held, in bytes. */
function peak(pid) {
  const line = readFileSync(`/proc/${pid}/status`, "utf8").match(/VmHWM:\s+(\d+)/);
  return line ? 1024 * Number(line[1]) : 0;
}

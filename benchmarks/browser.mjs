// For browser.py: pixels and captions of pictures in a browser, and the CPU time that they take.
// JSON on standard input: {browser, site, folder, pixels: [name], captions: [name]}; JSON leaves.
import { text } from "node:stream/consumers";
import { launch, serve } from "../tests/browser/site.mjs";
import { cpuSeconds } from "./processes.mjs";

const { browser: name, site, folder, pixels, captions } = JSON.parse(await text(process.stdin));
const server = await serve(site, folder);
const browser = await launch(name);
const root = browser.process().pid;
const page = await browser.newPage();
page.setDefaultTimeout(0);
await page.goto(`${server.url}captioner.json`);

const differing = {};
for (const each of pixels) {
  differing[each] = await page.evaluate(async (picture, url) => {
    const { readPixels } = await import(`${url}lib/pixels.js`);
    const bytes = async (path) => (await fetch(url + encodeURIComponent(path))).arrayBuffer();
    const expected = new Uint8Array(await bytes(`${picture}.rgb`));
    const seen = await readPixels(new Blob([await bytes(picture)]), { size: 224, fit: "squash" });
    const errors = seen.map((value, at) => Math.abs(value - expected[at]));
    return { bytes: errors.filter(Boolean).length, most: errors.reduce((most, each) => Math.max(most, each), 0) };
  }, each, server.url);
}

await page.evaluate(async (url) => {
  const { Captioner } = await import(`${url}cutline-web.js`);
  window.captioner = await Captioner.load(url, { threads: 1 });
}, server.url);
const caption = (each) => page.evaluate(async (picture, url) => {
  const blob = await (await fetch(url + encodeURIComponent(picture))).blob();
  return { ...(await window.captioner.caption(blob)), milliseconds: window.captioner.milliseconds };
}, each, server.url);
await caption(captions[0]); // the first one also compiles
const begun = cpuSeconds(root);
const told = {};
for (const each of captions) told[each] = await caption(each);
const cpu = (cpuSeconds(root) - begun) / captions.length;
process.stdout.write(JSON.stringify({ version: await browser.version(), differing, told, cpu }));
await browser.close();
server.close();
server.closeAllConnections();

// `cutline web` in Chromium and Firefox. SITE is its folder; PICTURES holds pictures and the captions of Python.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { launch, serve } from "./site.mjs";

const { SITE, PICTURES, SCREENSHOTS } = process.env;
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const told = JSON.parse(readFileSync(join(PICTURES, "told.json"), "utf8")); // {name: as `cutline caption --json`}
const kinds = readdirSync(join(PICTURES, "kinds")).filter((name) => !name.endsWith(".rgb"));
const path = (name) => join(PICTURES, name);
const PATIENCE = 60_000; // other programs may keep the cores busy

for (const browserName of process.env.BROWSERS.split(",")) {
  describe(browserName, () => {
    let browser;
    let server;
    let page;
    const wrong = [];

    before(async () => {
      browser = await launch(browserName);
      server = await serve(SITE, PICTURES);
      page = await browser.newPage();
      page.setDefaultTimeout(PATIENCE);
      page.on("pageerror", (error) => { // Firefox also reports here what the policy refused
        if (!String(error).includes("Content-Security-Policy")) wrong.push(String(error));
      });
      await page.setViewport({ width: 1000, height: 900 });
    });
    after(async () => {
      await browser?.close();
      server?.close();
      server?.closeAllConnections();
    });

    const ready = () => page.waitForFunction(() => document.querySelector("#loading").hidden);
    const textOf = (id) => page.$eval(`#${id}`, (element) => element.textContent);
    const add = async (...names) => (await page.$("#files-input")).uploadFile(...names.map(path));
    const finished = (count) => page.waitForFunction(
      (wanted) => document.querySelector("#status").textContent.startsWith(`${wanted} of ${wanted} `), {}, count);
    const clear = () => page.$eval("#clear", (button) => button.click());
    const captions = () => page.$$eval("#rows tr", (rows) => Object.fromEntries(rows.map((row) => [
      row.querySelector(".name").textContent, row.cells[1].innerText.replace(/\s+/g, " ").trim()])));
    const shot = (name) => SCREENSHOTS && page.screenshot({ path: join(SCREENSHOTS, `${browserName}-${name}.png`), fullPage: true });

    test("an interrupted download shows an error, and resumes with the missing parts", async () => {
      const parts = readdirSync(join(SITE, "parts"));
      server.breaks = (asked) => asked.endsWith(parts.at(-1));
      await page.evaluateOnNewDocument(() => { // the tries follow each other at once
        const { setTimeout } = window;
        window.setTimeout = (task, wait) => setTimeout(task, Math.min(wait ?? 0, 50));
      });

      await page.goto(server.url);
      await page.waitForSelector("#resume:not([hidden])");
      assert.match(await textOf("loaded"), /could not be loaded .* kept/);
      assert.ok((await page.$eval("#progress", (bar) => bar.value)) > 0.5);
      server.breaks = undefined;
      server.asked.length = 0;
      await page.click("#resume");
      await ready();

      const fetched = server.asked.filter((each) => each.includes("/parts/"));
      assert.ok(fetched.some((each) => each.endsWith(parts.at(-1))));
      assert.equal(new Set(fetched).size, 1, fetched.join());
    });

    test("the examples get the captions and confidences of Python", async () => {
      const examples = Object.keys(told).filter((name) => told[name].caption);
      server.asked.length = 0;

      await add(...examples);
      await finished(examples.length);

      assert.deepEqual(await captions(), Object.fromEntries(examples.map((name) => [name, told[name].caption])));
      const shown = await page.$$eval("#rows tr", (rows) => rows.map((row) => parseInt(row.cells[2].textContent)));
      shown.forEach((percent, at) => assert.ok(Math.abs(percent - 100 * told[examples[at]].confidence) <= 1.5));
      assert.deepEqual(server.asked.filter((each) => !each.includes(".js")), []); // the service worker's list at most
      await shot("light");
    });

    test("neither the page nor its worker can send anything", async () => {
      const attempts = (own) => Promise.all([own, "https://example.com/"].map((url) =>
        fetch(url, { method: "POST", body: "picture" }).then(() => "sent", (error) => error.name)));
      server.asked.length = 0;

      assert.deepEqual(await page.evaluate(attempts, server.url), ["TypeError", "TypeError"]);
      const loads = await page.evaluate((own) => new Promise((resolve) => {
        const image = new Image();
        image.onload = () => resolve("came");
        image.onerror = () => resolve("refused");
        image.src = `${own}icon.svg?picture`;
      }), server.url);
      assert.equal(loads, "refused");
      const [worker] = browserName === "chrome" ? page.workers() : []; // Firefox shows none to evaluate in
      if (worker) assert.deepEqual(await worker.evaluate(attempts, server.url), ["TypeError", "TypeError"]);
      assert.deepEqual(server.asked, []);
    });

    test("a word shows where the model looked, by pointer and by keyboard", async () => {
      const lit = () => page.$$eval("canvas.on", (all) => all.length);
      const opacity = () => page.$eval("canvas.on", (canvas) => { // of the drawing: some parts dark, some clear
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        const alphas = Array.from({ length: data.length / 4 }, (_, at) => data[4 * at + 3]);
        return [Math.min(...alphas), Math.max(...alphas)];
      });

      await page.hover(".word");
      await page.waitForSelector("canvas.on");
      const [clear, dark] = await opacity();
      assert.ok(clear < 60 && dark > 120, `${clear} ${dark}`);
      await page.mouse.move(500, 5);
      await page.focus(".word");
      await page.keyboard.press("ArrowRight");
      assert.equal(await page.evaluate(() => document.activeElement.parentElement.children[1] === document.activeElement), true);
      assert.equal(await lit(), 1);
      await page.$eval("#files", (button) => button.focus());
      await page.waitForFunction(() => !document.querySelector("canvas.on"));
    });

    test("captions below the threshold are hidden in the page and in saved files", async () => {
      await page.evaluate(() => {
        window.saved = [];
        const { createObjectURL } = URL;
        URL.createObjectURL = (blob) => { window.saved.push(blob); return createObjectURL(blob); };
        HTMLAnchorElement.prototype.click = () => {};
      });
      const set = (value) => page.$eval("#threshold", (range, to) => { range.value = to; range.dispatchEvent(new Event("input")); }, value);

      await set("0.5");
      const shown = Object.entries(await captions());
      for (const [name, text] of shown) {
        if (told[name].confidence >= 0.5) assert.equal(text, told[name].caption);
        else assert.match(text, /^no caption: its confidence of 0\.\d\d is less than 0\.5$/);
      }
      for (const id of ["save-csv", "save-json", "save-html"]) await page.click(`#${id}`);
      const [csv, json, html] = await page.evaluate(() => Promise.all(window.saved.map((blob) => blob.text())));
      const records = json.trim().split("\n").map((line) => JSON.parse(line));
      assert.deepEqual(records.map((record) => [record.path, record.caption]), shown.map(([name, text]) => [name, text.startsWith("no caption") ? null : text]));
      assert.equal(csv.split("\r\n")[0], "path,caption,confidence,log_prob,error");
      assert.equal(html.match(/<img /g).length, records.filter(({ caption }) => caption).length);
      await set("0");
    });

    test("a drawing gets a caption only on request, an unreadable file an error", async () => {
      await clear();
      await add("drawing.png", "broken.jpg");
      await finished(2);

      assert.deepEqual(await captions(), { "drawing.png": "no caption: not a photograph", "broken.jpg": "this browser cannot read it as a picture" });
      await page.$$eval("#rows button", ([button]) => button.click());
      await page.waitForFunction(() => !document.querySelector("#rows tr").cells[1].textContent.startsWith("no caption"));
      assert.deepEqual(wrong, []);
    });

    test("pictures can be dropped and pasted", async () => {
      await clear();
      await page.evaluate(async (encoded) => {
        const bytes = Uint8Array.from(atob(encoded), (sign) => sign.charCodeAt(0));
        const transfer = (name) => {
          const data = new DataTransfer();
          data.items.add(new File([bytes], name, { type: "image/jpeg" }));
          return data;
        };
        document.body.dispatchEvent(new DragEvent("drop", { bubbles: true, dataTransfer: transfer("dropped.jpg") }));
        const paste = new ClipboardEvent("paste", { bubbles: true });
        Object.defineProperty(paste, "clipboardData", { value: transfer("pasted.jpg") }); // Firefox gives a script's event none
        document.body.dispatchEvent(paste);
      }, readFileSync(path("lake.jpg"), "base64"));
      await finished(2);

      assert.deepEqual(await captions(), { "dropped.jpg": told["lake.jpg"].caption, "pasted.jpg": told["lake.jpg"].caption });
    });

    test("axe finds no violation in light and dark, wide and narrow", async () => {
      await clear();
      await add("lake.jpg", "drawing.png");
      await finished(2);
      for (const scheme of ["light", "dark"]) {
        for (const width of [1000, 320]) {
          await page.$eval("html", (root, colours) => { root.style.colorScheme = colours; }, scheme);
          await page.setViewport({ width, height: 900 });
          await page.evaluate(`${AXE};0`);
          const { violations } = await page.evaluate(() => axe.run());
          assert.deepEqual(violations.map(({ id, nodes }) => [id, nodes[0].html]), [], `${scheme} ${width}`);
          assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${width}: too wide`);
          await shot(`${scheme}-${width}`);
        }
      }
      await page.setViewport({ width: 1000, height: 900 });
    });

    test("pictures in every format give the pixels of Python", async () => {
      const other = await browser.newPage();
      other.setDefaultTimeout(PATIENCE);
      await other.goto(`${server.url}captioner.json`);
      const differing = await other.evaluate(async (names, url) => {
        const { readPixels } = await import(`${url}lib/pixels.js`);
        const bytes = async (name) => (await fetch(`${url}kinds/${name}`)).arrayBuffer();
        const found = {};
        for (const name of names) {
          const expected = new Uint8Array(await bytes(`${name}.rgb`));
          const pixels = await readPixels(new Blob([await bytes(name)]), { size: 224, fit: "squash" });
          found[name] = pixels.reduce((count, value, at) => count + (value !== expected[at]), 0);
        }
        return found;
      }, kinds, server.url);
      await other.close();

      const known = browserName === "firefox" ? /alpha|avif/ : /^$/; // it multiplies and converts otherwise
      assert.ok(kinds.length >= 57);
      assert.deepEqual(Object.entries(differing).filter(([name, count]) => count && !known.test(name)), []);
    });

    test("the module captions in twenty lines, and drafts alternative texts of another site", async () => {
      const other = await browser.newPage();
      other.setDefaultTimeout(PATIENCE);
      await other.goto(`${server.url}example.html`);
      await other.waitForFunction(() => document.querySelector("p").textContent === "Choose a picture.");
      await (await other.$("input")).uploadFile(path("cat.jpg"));
      await other.waitForFunction((caption) => document.querySelector("p").textContent === caption, {}, told["cat.jpg"].caption);

      const site = await serve(PICTURES);
      await other.goto(`${site.url}lacking.html`);
      const drafts = await other.evaluate((url) => import(`${url}fill-alt.js`).then((module) => module.fill()), server.url);
      assert.deepEqual(drafts.map(({ alt }) => alt), [told["cat.jpg"].caption]); // the lake's is too unsure
      assert.deepEqual(await other.$$eval("img", (images) => images.map((image) => image.getAttribute("alt"))), [told["cat.jpg"].caption, null, "said", ""]);
      await other.close();
      site.close();
      site.closeAllConnections();
    });

    test("works without a network after the first visit, and is isolated then", async () => {
      server.close();
      server.closeAllConnections();

      await page.reload();
      await ready();
      await add("lake.jpg");
      await finished(1);

      assert.deepEqual(await captions(), { "lake.jpg": told["lake.jpg"].caption });
      assert.equal(await page.evaluate(() => crossOriginIsolated), true);
      assert.deepEqual(wrong, []);
    });
  });
}

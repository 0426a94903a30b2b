// The page of `cutline serve` in Chromium. ADDRESS is that of a running server, PICTURES a folder with
// lake.jpg, otter.jpg and page.png; SHOTS is where screenshots are kept, if anywhere.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { AXE, visit } from "./chromium.mjs";

const { ADDRESS, PICTURES, SHOTS } = process.env;
const picture = (name) => join(PICTURES, name);
const told = JSON.parse(process.env.TOLD);

const open = (options = {}) => visit(ADDRESS, { viewport: { width: 1000, height: 800 }, ...options });

const cards = (page) => page.locator("#results > li");
const finished = (page, count) => page.locator("#status", { hasText: `${count} of ${count} captioned` }).waitFor();

async function caption(page, ...names) {
  await page.locator("#pictures").setInputFiles(names.map(picture));
  await finished(page, names.length);
}

describe("the page of the server", () => {
  test("captions the files that are chosen, and connects to nothing else", async () => {
    const page = await open();

    await caption(page, "lake.jpg", "otter.jpg", "page.png");

    const shown = Object.fromEntries((await cards(page).allInnerTexts()).map((text) => [text.split(/, |\n/).at(-1), text]));
    const sure = Math.round(100 * told["lake.jpg"].confidence);
    assert.ok(shown["lake.jpg"].startsWith(told["lake.jpg"].caption));
    assert.ok(shown["lake.jpg"].includes(`confidence ${sure} %`));
    assert.ok(shown["otter.jpg"].startsWith("an animal"));
    assert.ok(shown["page.png"].startsWith("not a photograph"));
    assert.ok(!shown["page.png"].includes("confidence"));
    assert.deepEqual(page.wrong, []);
    assert.deepEqual(page.asked.filter((url) => !url.startsWith(ADDRESS) && !/^(blob|data):/.test(url)), []);
  });

  test("describes the pictures for screen readers", async () => {
    const page = await open();

    await caption(page, "lake.jpg");

    assert.equal(await page.locator("img").getAttribute("alt"), `${told["lake.jpg"].caption} (machine-written)`);
    assert.equal(await page.locator("#status").getAttribute("role"), "status");
  });

  for (const kind of ["drop", "paste"]) {
    test(`takes pictures by ${kind}`, async () => {
      const page = await open();
      const content = readFileSync(picture("lake.jpg")).toString("base64");

      await page.evaluate(async ([kind, content]) => {
        const bytes = await (await fetch(`data:image/jpeg;base64,${content}`).catch(() => null))?.blob()
          ?? new Blob([Uint8Array.from(atob(content), (c) => c.charCodeAt(0))]);
        const data = new DataTransfer();
        data.items.add(new File([bytes], "lake.jpg", { type: "image/jpeg" }));
        const event = kind === "drop"
          ? new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true })
          : new ClipboardEvent("paste", { clipboardData: data, bubbles: true });
        document.querySelector("main").dispatchEvent(event);
      }, [kind, content]);
      await finished(page, 1);

      assert.match(await cards(page).innerText(), new RegExp(told["lake.jpg"].caption));
    });
  }

  test("reports files that are not pictures, and captions the others", async () => {
    const page = await open();

    await page.locator("#pictures").setInputFiles([
      { name: "notes.txt", mimeType: "text/plain", buffer: Buffer.from("no picture") },
      { name: "lake.jpg", mimeType: "image/jpeg", buffer: readFileSync(picture("lake.jpg")) },
    ]);
    await finished(page, 2);

    assert.match(await page.locator(".wrong").innerText(), /^notes.txt: the file is not a picture/);
    assert.match((await cards(page).allInnerTexts()).join(), new RegExp(told["lake.jpg"].caption));
  });

  test("shows file names as text", async () => {
    const page = await open();
    const name = "<img src=x onerror=alert(1)>.jpg";

    await page.locator("#pictures").setInputFiles([{ name, mimeType: "image/jpeg", buffer: readFileSync(picture("lake.jpg")) }]);
    await finished(page, 1);

    assert.ok((await page.locator(".facts").innerText()).endsWith(name));
    assert.equal(await page.locator("img").count(), 1);
  });

  test("shows the attention of a word on hover, and by keyboard", async () => {
    const page = await open();
    await caption(page, "lake.jpg");
    const lit = () => page.locator("canvas.on").count();

    await page.locator(".caption button").nth(2).hover();
    assert.equal(await lit(), 1);
    await page.mouse.move(990, 790);
    assert.equal(await lit(), 0);
    await page.locator(".caption button").first().focus();
    await page.keyboard.press("ArrowRight");
    assert.equal(await page.evaluate(() => document.activeElement.textContent), told["lake.jpg"].words[1].word);
    assert.equal(await lit(), 1);
    await page.keyboard.press("Tab");
    assert.equal(await lit(), 0);
  });
});

describe("without JavaScript", () => {
  for (const [name, text] of [["lake.jpg", told["lake.jpg"].caption], ["page.png", "not a photograph"]]) {
    test(`a form captions ${name}`, async () => {
      const page = await open({ javaScriptEnabled: false });

      await page.locator("#pictures").setInputFiles(picture(name));
      await page.getByRole("button", { name: "Caption" }).click();

      assert.equal(await page.locator(".caption").innerText(), text);
      assert.ok((await page.locator(".facts").innerText()).endsWith(name));
      assert.ok(await page.locator("img").evaluate((image) => image.naturalWidth) > 100);
    });
  }

  test("a form without a picture is answered with a sentence", async () => {
    const page = await open({ javaScriptEnabled: false });

    await page.locator("#pictures").setInputFiles({ name: "a.jpg", mimeType: "image/jpeg", buffer: Buffer.from("<b>no</b>") });
    await page.getByRole("button", { name: "Caption" }).click();

    assert.match(await page.locator(".wrong").innerText(), /^a.jpg: the file is not a picture/);
  });
});

for (const colorScheme of ["light", "dark"]) {
  for (const width of [320, 1000]) {
    test(`axe finds nothing, and nothing is cut off: ${colorScheme}, ${width} pixels`, async () => {
      const page = await open({ bypassCSP: true, colorScheme, viewport: { width, height: 800 } });
      await page.addScriptTag({ path: AXE });
      await caption(page, "lake.jpg", "otter.jpg", "page.png");
      await page.locator(".caption button").nth(7).hover();

      if (SHOTS) await page.screenshot({ path: join(SHOTS, `serve-${colorScheme}-${width}.png`), fullPage: true });
      const { violations } = await page.evaluate(() => axe.run());
      assert.deepEqual(violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.html.slice(0, 120))}`), []);
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
    });
  }
}

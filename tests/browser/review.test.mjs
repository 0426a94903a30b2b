// A person reviews captions by keyboard: REVIEW is the address of a running `cutline review`.
import assert from "node:assert/strict";
import { test } from "node:test";
import { AXE, visit } from "./chromium.mjs";

const PICTURES = process.env.PICTURES; // where screenshots are kept, if anywhere

async function open(options = {}) {
  const page = await visit(process.env.REVIEW, { viewport: { width: 1200, height: 900 }, ...options });
  await page.locator("#picture").evaluate((image) => image.decode());
  return page;
}

test("is accessible in light, dark and narrow windows", async () => {
  for (const options of [{}, { colorScheme: "dark" }, { viewport: { width: 320, height: 640 } }]) {
    const page = await open({ bypassCSP: true, ...options });
    await page.addScriptTag({ path: AXE });
    const { violations } = await page.evaluate(() => axe.run());
    assert.deepEqual(violations.map((each) => `${each.id}: ${each.nodes[0].html}`), []);
    const wide = await page.evaluate(() => [...document.querySelectorAll("body *")]
      .filter((each) => each.getBoundingClientRect().right > innerWidth + 1).map((each) => each.outerHTML.slice(0, 80)));
    assert.deepEqual(wide, []);
    if (PICTURES) await page.screenshot({ path: `${PICTURES}/review-${JSON.stringify(options).length}.png` });
    await page.close();
  }
});

test("accepts, edits, rejects and undoes by keyboard", async () => {
  const page = await open();
  const said = page.locator("#said");
  const first = await page.locator("#name").textContent();

  const counts = (text) => page.locator("#counts", { hasText: text }).waitFor();

  await page.keyboard.press("a");
  await said.filter({ hasText: `accepted: ${first}` }).waitFor();
  await page.keyboard.press("e");
  await page.keyboard.type("a picture of my sofa");
  await page.keyboard.press("Enter");
  await said.filter({ hasText: "edited:" }).waitFor();
  await page.keyboard.press("r");
  await counts("3 of 8 reviewed: 1 accepted, 1 edited, 1 rejected");
  assert.match(await page.locator("#bound").textContent(), /at most \d+% were wrong/);

  await page.locator("#place", { hasText: "4 of 8" }).waitFor();
  await page.keyboard.press("r");
  await counts("4 of 8 reviewed");
  await page.locator("#place", { hasText: "5 of 8" }).waitFor();
  await page.keyboard.press("ArrowLeft");
  await page.keyboard.press("u");
  await counts("3 of 8 reviewed: 1 accepted, 1 edited, 1 rejected");
  await said.filter({ hasText: "taken back" }).waitFor();
  if (PICTURES) await page.screenshot({ path: `${PICTURES}/review-done.png` });
  assert.deepEqual(page.wrong, []);
});

test("shows what is left, and what was decided, after a reload", async () => {
  const page = await open();

  await page.selectOption("#queue", "unreviewed");
  await page.locator("#place", { hasText: "1 of 5" }).waitFor();
  await page.selectOption("#queue", "sample");
  await page.locator("#facts", { hasText: "accepted" }).waitFor();
  assert.equal(await page.getAttribute("#accept", "aria-pressed"), "true");
  assert.deepEqual(page.wrong, []);
});

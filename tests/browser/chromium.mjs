// What the tests of served pages share: Chromium, axe, and a page that notes what goes wrong on it.
import { createRequire } from "node:module";
import { after, before } from "node:test";
import { chromium } from "playwright-core";

export const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
let browser;

before(async () => {
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox"],
  });
});
after(() => browser?.close());

/** A page whose `wrong` lists errors and warnings, and whose `asked` lists requests. */
export async function visit(address, options = {}) {
  const page = await browser.newPage(options);
  page.wrong = [];
  page.asked = [];
  page.on("request", (request) => page.asked.push(request.url()));
  page.on("pageerror", (error) => page.wrong.push(String(error)));
  page.on("console", (said) => { if (["error", "warning"].includes(said.type())) page.wrong.push(said.text()); });
  await page.goto(address);
  return page;
}

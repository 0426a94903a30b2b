// What the tests and benchmarks of the web page share: a static server and browsers.
import { createReadStream, existsSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import puppeteer from "puppeteer-core";

const TYPES = {
  ".css": "text/css", ".html": "text/html", ".jpg": "image/jpeg", ".js": "text/javascript",
  ".json": "application/json", ".mjs": "text/javascript", ".png": "image/png", ".svg": "image/svg+xml",
};

/** Serves folders, the first that has the file; sets no header but the type. */
export async function serve(...folders) {
  const asked = [];
  const server = createServer((request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, "http://x").pathname));
    asked.push(`${request.method} ${request.url}`);
    const found = folders.map((folder) => join(folder, path.endsWith("/") ? `${path}index.html` : path)).find((each) => existsSync(each) && statSync(each).isFile());
    if (!found || server.breaks?.(path)) {
      response.writeHead(404, { "Access-Control-Allow-Origin": "*" }).end();
      return;
    }
    response.writeHead(200, { "Content-Type": TYPES[extname(found)] ?? "application/octet-stream", "Access-Control-Allow-Origin": "*" });
    createReadStream(found).pipe(response);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return Object.assign(server, { asked, url: `http://localhost:${server.address().port}/` });
}

export const BROWSERS = {
  chrome: process.env.CHROMIUM ?? "/usr/bin/chromium",
  firefox: process.env.FIREFOX ?? "/usr/bin/firefox-esr",
};

export function launch(browser, extra = []) {
  const args = browser === "chrome" ? ["--no-sandbox", "--disable-gpu", ...extra] : extra;
  return puppeteer.launch({ browser, executablePath: BROWSERS[browser], args });
}

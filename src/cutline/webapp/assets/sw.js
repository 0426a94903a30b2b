// The service worker: it keeps the page for use without a network, and adds the headers that many
// static hosts cannot: isolation, which allows threads, and the page's policy, for its workers too.

importScripts("files.js"); // self.SITE: {version, files: {path: sha256}}; a new list makes a new worker

const SCOPE = self.registration.scope;
const PAGE = `cutline-page ${SCOPE} ${self.SITE.version}`;
const PARTS = `cutline-parts ${SCOPE}`; // filled by lib/download.js
const isPart = (name) => name.startsWith("parts/");
const names = Object.keys(self.SITE.files);

const HEADERS = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
};
const POLICY = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "style-src 'self'",
  "img-src 'self' blob:",
  "connect-src 'self'",
  "worker-src 'self' blob:",
  "manifest-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");
const POLICIES = { // the example's script is inside it; the worker is given all that it needs
  [new URL("example.html", SCOPE).href]: "",
  [new URL("lib/worker.js", SCOPE).href]: POLICY.replace("connect-src 'self'", "connect-src 'none'"),
};

addEventListener("install", (event) => {
  const small = names.filter((name) => !isPart(name));
  const requests = [...small, "files.js"].map((name) => new Request(name, { cache: "reload" }));
  event.waitUntil(caches.open(PAGE).then((cache) => cache.addAll(requests)));
});

addEventListener("activate", (event) => event.waitUntil(removeOld()));

async function removeOld() {
  const older = (await caches.keys()).filter((name) => name.startsWith(`cutline-page ${SCOPE} `) && name !== PAGE);
  await Promise.all(older.map((name) => caches.delete(name)));
  const parts = await caches.open(PARTS);
  const wanted = new Set(names.map((name) => new URL(name, SCOPE).href));
  for (const request of await parts.keys()) if (!wanted.has(request.url)) await parts.delete(request);
}

addEventListener("fetch", (event) => {
  const { method, url } = event.request;
  if (method === "GET" && url.startsWith(SCOPE)) event.respondWith(answer(event.request));
});

async function answer(request) {
  const url = new URL(request.url);
  url.hash = url.search = "";
  if (url.href === SCOPE) url.pathname += "index.html";
  const kept = (await (await caches.open(PAGE)).match(url)) ?? (await (await caches.open(PARTS)).match(url));
  const response = kept ?? (await fetch(request));
  if (response.type !== "basic" && response.type !== "default") return response;
  const headers = new Headers(response.headers);
  for (const [name, value] of Object.entries(HEADERS)) headers.set(name, value);
  headers.set("Content-Security-Policy", POLICIES[url.href] ?? POLICY);
  const body = [101, 204, 205, 304].includes(response.status) ? null : response.body;
  return new Response(body, { status: response.status, statusText: response.statusText, headers });
}

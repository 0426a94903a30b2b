// Large files in parts: each is fetched once, checked and kept by the browser, so that a download
// that broke off goes on with the parts that are missing.

const AT_ONCE = 3;
const TRIES = 4;
const WAIT = 1000; // milliseconds before the second try, twice as many before each further one

/**
 * Fetches `files` of the site at `url`, `{name: {size, parts: [{name, size, sent, sha256}]}}`, as
 * `{name: Uint8Array}`. `onProgress({loaded, total})` counts bytes as they are sent.
 */
export async function download(url, files, { onProgress = () => {}, signal } = {}) {
  const cache = await globalThis.caches?.open(`cutline-parts ${url}`).catch(() => undefined); // https only
  const parts = Object.values(files).flatMap((file) => file.parts);
  const total = sum(parts.map(({ sent }) => sent));
  const loaded = new Map();
  const report = (part, bytes) => {
    loaded.set(part, Math.min(bytes, part.sent)); // servers may compress otherwise than expected
    onProgress({ loaded: sum([...loaded.values()]), total });
  };
  const contents = new Map();
  const waiting = [...parts];
  const work = async () => {
    for (let part = waiting.shift(); part; part = waiting.shift()) {
      contents.set(part, await getPart(new URL(part.name, url), part, cache, signal, (bytes) => report(part, bytes)));
    }
  };
  // where one fails the others go on: what they bring is kept for the next call
  const ends = await Promise.allSettled(Array.from({ length: AT_ONCE }, work));
  for (const { reason } of ends) if (reason) throw reason;
  return Object.fromEntries(Object.entries(files).map(([name, file]) => [name, join(file, contents)]));
}

const sum = (numbers) => numbers.reduce((total, each) => total + each, 0);

function join({ size, parts }, contents) {
  const whole = new Uint8Array(size);
  let offset = 0;
  for (const part of parts) {
    whole.set(contents.get(part), offset);
    offset += part.size;
  }
  return whole;
}

async function getPart(url, part, cache, signal, report) {
  const kept = await cache?.match(url);
  const content = kept && (await unpack(new Uint8Array(await kept.arrayBuffer())));
  if (content && (await isRight(content, part))) {
    report(part.sent);
    return content;
  }
  for (let attempt = 1; ; attempt++) {
    try {
      return await fetchPart(url, part, cache, signal, report);
    } catch (error) {
      if (signal?.aborted || attempt === TRIES) throw error;
      await new Promise((resolve) => setTimeout(resolve, WAIT * 2 ** (attempt - 1)));
    }
  }
}

async function fetchPart(url, part, cache, signal, report) {
  const response = await fetch(url, { signal });
  if (!response.ok) throw new Error(`${url} cannot be fetched: ${response.status} ${response.statusText}`);
  const chunks = [];
  let bytes = 0;
  for (const reader = response.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    chunks.push(value);
    report((bytes += value.length));
  }
  const sent = new Uint8Array(await new Blob(chunks).arrayBuffer());
  const content = await unpack(sent);
  if (!(await isRight(content, part))) throw new Error(`${url} is damaged: its checksum differs`);
  await cache?.put(url, new Response(sent)).catch(() => {}); // no room: it works all the same
  return content;
}

/** Without gzip; some servers have told the browser to remove it already. */
async function unpack(bytes) {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function isRight(content, { size, sha256 }) {
  if (content.length !== size) return false;
  if (!globalThis.crypto?.subtle) return true; // on http://
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
  return sha256 === Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

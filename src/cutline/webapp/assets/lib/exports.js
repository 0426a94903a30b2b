// Captions in the forms that other software reads.

const COLUMNS = ["path", "caption", "confidence", "log_prob", "error"];

/** What is told of a caption, without it where it is less certain than `threshold`. */
export function leaveOutUnsure(told, threshold) {
  if (!told.caption || told.confidence >= threshold) return told;
  const { words, best, ...rest } = told;
  const why = `its confidence of ${told.confidence.toFixed(2)} is less than ${threshold}`;
  return { ...rest, caption: null, left_out: why };
}

/** As `cutline caption --json`: a line of JSON for each picture. */
export const toJsonLines = (records) => records.map((record) => `${JSON.stringify(record)}\n`).join("");

/** As `cutline caption --out captions.csv`. */
export function toCsv(records) {
  const cell = (value) => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
  const rows = records.map((record) => COLUMNS.map((name) => cell(String(record[name] ?? ""))).join(","));
  return [COLUMNS.join(","), ...rows, ""].join("\r\n");
}

/** An `<img>` with its alternative text for each picture that has a caption. */
export const toHtml = (records) =>
  records.filter(({ caption }) => caption).map((record) => `${toImg(record)}\n`).join("");

export const toImg = ({ path, caption }) =>
  `<img src="${escape(path.split("/").map(encodeURIComponent).join("/"))}" alt="${escape(caption)}">`;

/** For each picture its path and caption, parted by a tabulator. */
export const toText = (records) =>
  records.filter(({ caption }) => caption).map(({ path, caption }) => `${path}\t${caption}\n`).join("");

const ENTITIES = { "&": "&amp;", "<": "&lt;", '"': "&quot;" };
const escape = (text) => text.replace(/[&<"]/g, (sign) => ENTITIES[sign]);

/** Offers a text as a file to save. */
export function save(text, name, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

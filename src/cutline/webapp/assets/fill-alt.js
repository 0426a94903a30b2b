// Drafts the alt texts that a page lacks. As a bookmark, with the address of your own host:
//
//   javascript:import("https://YOUR.HOST/cutline/fill-alt.js").then((module) => module.fill())
//
// Nothing is saved: each draft stands in the page, marked by an outline and `data-alt-draft`.

import { Captioner } from "./cutline-web.js";

/** Fills `alt` of every image without one; resolves to what was drafted: [{src, alt}]. */
export async function fill(root = document) {
  const lacking = [...root.querySelectorAll("img:not([alt])")].filter((image) => image.src);
  if (!lacking.length) return [];
  const captioner = await Captioner.load();
  const drafts = [];
  for (const image of lacking) {
    const told = await fetch(image.src).then((response) => response.blob()).then((blob) => captioner.caption(blob)).catch(() => null);
    if (!told?.caption || told.confidence < captioner.description.threshold) continue; // left to a person
    image.alt = told.caption;
    image.dataset.altDraft = String(told.confidence);
    image.style.outline = "3px dashed orange";
    drafts.push({ src: image.src, alt: told.caption });
  }
  captioner.close();
  console.table(drafts);
  return drafts;
}

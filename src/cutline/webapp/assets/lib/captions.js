// What the model writes becomes captions, as `cutline caption --json` tells them (inference/captioner.py).

import { chanceOf } from "./confidence.js";
import { finish } from "./fallback.js";
import { Nouns } from "./nouns.js";
import { joinWords } from "./words.js";

const [PAD, START, END] = [0, 1, 2];

/** Reads what a model of this description (`captioner.json`) writes under one picture. */
export class CaptionReader {
  #nouns;

  constructor(model) {
    this.model = model;
    this.#nouns = new Nouns(model.rules);
  }

  /** `written` are the model's outputs for one picture: `{name: {dims, data}}`. */
  read(written, { best = 1, form = "auto", anyPicture = false, sentence = false, attention = false } = {}) {
    const candidates = written.words.dims[1];
    if (!(best >= 1 && best <= candidates)) throw new RangeError(`best must be 1 to ${candidates}`);
    const concepts = this.#conceptsOf(written);
    const photograph = written.photograph ? written.photograph.data[0] : null;
    const [first, ...alternatives] = Array.from({ length: best }, (_, candidate) => candidate)
      .filter((candidate) => candidate === 0 || written.scores.data[candidate] > -Infinity)
      .map((candidate) => this.#captionOf(written, candidate, concepts, photograph));
    const finished = finish({ ...first, alternatives }, { form, anyPicture, sentence }, this.model, this.#nouns);
    return asJson(finished, attention, this.model.rules.leastTold);
  }

  #captionOf(written, candidate, concepts, photograph) {
    const { vocabulary } = this.model;
    const { dims: [, , time], data } = written.words;
    const ids = Array.from(data.slice(candidate * time, (candidate + 1) * time), Number);
    const steps = ids.flatMap((id, step) => (id === PAD ? [] : [candidate * time + step]));
    const end = ids.indexOf(END);
    const words = ids
      .slice(0, end < 0 ? ids.length : end)
      .filter((id) => id !== PAD && id !== START)
      .map((id) => vocabulary[id]);
    const wordLogProbs = steps.map((step) => written.log_probs.data[step]);
    const logProb = wordLogProbs.reduce((sum, each) => sum + each, 0);
    if (!Number.isFinite(logProb)) throw new Error("the model's probabilities are not numbers: its weights are damaged");
    const regions = written.gaze?.dims[3];
    const attended = regions && steps.map((step) => written.gaze.data.slice(step * regions, (step + 1) * regions));
    const caption = { text: joinWords(words), words, logProb, wordLogProbs, attention: attended ?? null, concepts, photograph };
    const chance = chanceOf(caption, this.model.calibration, this.#nouns, this.model.rules);
    return { ...caption, confidence: chance ?? Math.exp(logProb / Math.max(1, wordLogProbs.length)), alternatives: [] };
  }

  #conceptsOf({ concepts, chances }) {
    if (!concepts || !chances) return [];
    const nounOf = (id) => this.model.vocabulary[Number(id)];
    return Array.from(concepts.data, (id, at) => ({ noun: nounOf(id), probability: chances.data[at] }));
  }
}

/** As `Caption.as_json` in types.py; the attention is in thousandths. */
function asJson(caption, attention, leastTold) {
  const { alternatives, leftOut } = caption;
  const told = { ...candidateAsJson(caption, attention), ...pictureAsJson(caption, leastTold) };
  if (alternatives.length) {
    const others = alternatives.map((each) => ({ ...candidateAsJson(each, attention), ...pictureAsJson(each, leastTold) }));
    told.best = [candidateAsJson(caption, attention), ...others];
  }
  if (!leftOut) return told;
  delete told.words;
  return { ...told, caption: null, left_out: leftOut };
}

function pictureAsJson({ concepts, photograph }, leastTold) {
  const told = {};
  if (concepts.length) {
    told.concepts = concepts
      .filter(({ probability }) => probability >= leastTold)
      .map(({ noun, probability }) => ({ noun, probability: round(probability) }));
  }
  if (photograph !== null) told.photograph = round(photograph);
  return told;
}

function candidateAsJson({ text, confidence, logProb, words, wordLogProbs, attention: attended }, attention) {
  return {
    caption: text,
    confidence: round(confidence),
    log_prob: round(logProb),
    words: words.map((word, at) => ({
      word,
      probability: round(Math.exp(wordLogProbs[at])),
      ...(attention && attended ? { gaze: Array.from(attended[at], (share) => roundHalfEven(Math.fround(1000 * share))) } : {}),
    })),
  };
}

const round = (x) => Number(x.toFixed(4));
const roundHalfEven = (x) => (x - Math.floor(x) === 0.5 ? 2 * Math.round(x / 2) : Math.round(x)); // as NumPy

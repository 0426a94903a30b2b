// What stands where a caption would: the sentence, a phrase that is surely true, or nothing
// (inference/fallback.py).

import { articleOf, joinWords, mendArticles } from "./words.js";

/** The caption as a user gets it: `form` is "sentence", "phrase" or "auto". */
export function finish(caption, { form, anyPicture, sentence }, model, nouns) {
  const { rules } = model;
  if (caption.photograph !== null && caption.photograph < model.refusal && !anyPicture) {
    return { ...caption, text: "", alternatives: [], leftOut: rules.notAPhotograph };
  }
  const unsure = form === "auto" && caption.confidence < model.threshold && isDoubtful(caption, nouns, rules);
  const told = form === "phrase" || unsure ? asPhrase(caption, nouns, rules) : caption;
  const dress = (each) => ({ ...each, text: sentence ? asSentence(each.text) : each.text });
  const finished = dress(model.english ? mend(told, rules) : told);
  return { ...finished, alternatives: told.alternatives.map((each) => dress(model.english ? mend(each, rules) : each)) };
}

const asSentence = (text) => (text ? `${text[0].toUpperCase()}${text.slice(1)}.` : text);

function mend(caption, rules) {
  const words = mendArticles(caption.words, rules.articles);
  return caption.text ? { ...caption, words, text: joinWords(words) } : caption;
}

/** Whether the concepts contradict it: their surest is not said, or a thing that it names is not there. */
function isDoubtful({ words, concepts }, nouns, rules) {
  const surest = surestOf(concepts, nouns, rules);
  if (!surest) return false;
  const said = nouns.nounsOf(words);
  const likely = concepts.filter(({ probability }) => probability >= rules.doubted).map(({ noun }) => noun);
  const isDoubted = (noun) => rules.checked.includes(nouns.kindOf(noun)) && !likely.includes(noun);
  return said.some(isDoubted) || !said.some((noun) => nouns.agree(noun, surest.noun));
}

function asPhrase(caption, nouns, rules) {
  const surest = surestOf(caption.concepts, nouns, rules);
  if (!surest) return caption;
  const { noun, probability } = surest;
  const text = rules.phrases[noun] ?? `${articleOf(noun, rules.articles)} ${noun}`;
  const words = text.split(" ");
  const logProb = Math.log(probability);
  const wordLogProbs = [...words.slice(1).map(() => 0), logProb];
  return { ...caption, text, words, logProb, wordLogProbs, confidence: probability, attention: null };
}

/** The likeliest noun of a thing; of those that are true of one thing the narrowest. */
function surestOf(concepts, nouns, { minNounProbability, things }) {
  const isConfident = ({ noun, probability }) => probability >= minNounProbability && things.includes(nouns.kindOf(noun));
  const likely = concepts.filter(isConfident);
  const isNarrow = (each) => !likely.some((other) => other !== each && nouns.isWider(each.noun, other.noun));
  return likely.filter(isNarrow).reduce((best, each) => (best && best.probability >= each.probability ? best : each), null);
}

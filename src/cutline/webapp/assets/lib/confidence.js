// How likely a caption is good: logistic regression on what speaks for it (inference/calibration.py).

const highest = (concepts) => Math.max(0, ...concepts.map(({ probability }) => probability));
const total = (concepts) => concepts.reduce((sum, { probability }) => sum + probability, 0);
const mean = (numbers) => numbers.reduce((sum, each) => sum + each, 0) / numbers.length;
const clip = (x, low, high) => Math.min(Math.max(x, low), high);

/** The chance by the model's calibration, or null where it has none. */
export function chanceOf(caption, calibration, nouns, rules) {
  if (!calibration) return null;
  const evidence = weighEvidence(caption, nouns, rules);
  let sum = calibration.bias;
  for (const [name, weight] of Object.entries(calibration.weights)) sum += weight * evidence[name];
  return 1 / (1 + Math.exp(-clip(sum, -700, 700)));
}

function weighEvidence({ words, wordLogProbs, concepts, photograph }, nouns, { unnamed, certain }) {
  const evidence = { mean: mean(wordLogProbs), least: Math.min(...wordLogProbs) };
  if (!concepts.length || photograph === null) return evidence;
  const [{ probability: person }, ...others] = concepts;
  const chances = new Map(others.map(({ noun, probability }) => [noun, probability]));
  const said = [...new Set(nouns.nounsOf(words))];
  const things = said.filter((noun) => nouns.kindOf(noun) !== "person");
  const named = things.map((noun) => Math.log(Math.max(chances.get(noun) ?? unnamed, certain)));
  const isSaid = ({ noun }) => said.some((each) => nouns.agree(noun, each));
  const missed = highest(others.filter((concept) => !isSaid(concept)));
  const likely = clip(photograph, certain, 1 - certain);
  return {
    ...evidence,
    agreement: named.length ? mean(named) : Math.log(unnamed),
    person: Math.log(clip(nouns.namesPerson(words) ? person : 1 - person, certain, 1)),
    unsaid: Math.log(clip(1 - missed, certain, 1)),
    surest: Math.log(highest(others) + certain),
    named: total(concepts.filter(isSaid)) / (total(concepts) + certain),
    photograph: Math.log(likely / (1 - likely)),
  };
}

// The things that captions name: words to plain nouns, plain nouns to kinds (text/nouns.py).

export class Nouns {
  #kinds;
  #wider;
  #said;
  #rules;
  #longest;

  /** `rules.nouns` is `{noun: [kind, wider noun, [words that say it]]}`, words of several parts with spaces. */
  constructor(rules) {
    this.#rules = rules;
    const nouns = Object.entries(rules.nouns);
    this.#kinds = new Map(nouns.map(([noun, [kind]]) => [noun, kind]));
    this.#wider = new Map(nouns.map(([noun, [, wider]]) => [noun, wider]));
    this.#said = new Map(nouns.flatMap(([noun, [, , said]]) => said.map((words) => [words, noun])));
    this.#longest = Math.max(...[...this.#said.keys()].map((words) => words.split(" ").length));
  }

  /** The kind of a plain noun; of any other word "". */
  kindOf(noun) {
    return (noun !== this.#rules.nothing && this.#kinds.get(noun)) || "";
  }

  /** The noun and all that are wider; the name of a kind is wider than all of the kind. */
  #widen(noun) {
    const found = new Set([noun, this.kindOf(noun)]);
    for (let wider = this.#wider.get(noun); wider; wider = this.#wider.get(wider)) found.add(wider);
    return found;
  }

  /** Whether whatever is called `other` may be called `one`. */
  isWider(one, other) {
    return one !== "" && this.#widen(other).has(one);
  }

  /** Whether both may be said of one thing. */
  agree(one, other) {
    return this.isWider(one, other) || this.isWider(other, one);
  }

  namesPerson(words) {
    return this.nounsOf(words).some((noun) => this.kindOf(noun) === "person");
  }

  /** The plain nouns that words say, in order. */
  nounsOf(words) {
    const found = this.#match(words);
    const { ofAnimalsToo, forSomething, peoples, housemates } = this.#rules;
    const kinds = new Map(found.map(({ start, noun }) => [start, this.kindOf(noun)]));
    const animals = found.filter(({ noun }) => this.kindOf(noun) === "animal");
    const wild = animals.some(({ noun }) => !housemates.includes(noun));
    const saysSomebody = ({ start, end }) => {
      const word = words[start];
      if (ofAnimalsToo.includes(word) && wild) return false;
      const alone = !ofAnimalsToo.includes(word) && !forSomething.includes(word);
      return alone || peoples.includes(kinds.get(end) ?? "person");
    };
    return found.filter((each) => kinds.get(each.start) !== "person" || saysSomebody(each)).map(({ noun }) => noun);
  }

  #match(words) {
    const found = [];
    for (let start = 0; start < words.length; ) {
      let length = Math.min(this.#longest, words.length - start);
      const noun = () => this.#said.get(words.slice(start, start + length).join(" "));
      while (length && noun() === undefined) length--;
      if (length && noun() !== this.#rules.nothing) found.push({ start, end: start + length, noun: noun() });
      start += Math.max(length, 1);
    }
    return found;
  }
}

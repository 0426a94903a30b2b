// Words as people write them: clitics joined, `an` before a vowel (text/tokenizer.py).

const CLITIC = / (?=(?:n't|'(?:s|m|d|ll|re|ve))(?: |$))/g;

export const joinWords = (words) => words.join(" ").replace(CLITIC, "");

/** `a` or `an`, told by the letters that a word begins with; `articles` are the exceptions. */
export function articleOf(word, articles) {
  const begins = (prefixes) => prefixes.some((prefix) => word.startsWith(prefix));
  const vowel = "aeiou".includes(word[0]) && !begins(articles.consonant);
  return vowel || begins(articles.vowel) ? "an" : "a";
}

/** English words with `an` for an `a` before a vowel. */
export function mendArticles(words, articles) {
  return words.map((word, at) => (word === "a" && words[at + 1] ? articleOf(words[at + 1], articles) : word));
}

// How text becomes words: the rules of fedkeyboard/words.py, repeated exactly.

const APOSTROPHES = /[\u0060\u00b4\u02bc\u2018\u2019\u201b\uff07]/g;
const DROPPED = /[\p{Cf}\ufe00-\ufe0f]/gu;
const SEPARATORS = /[^\p{L}\p{Mn}\p{Mc}\p{Nd}']/gu;
const LETTER_OR_DIGIT = /[\p{L}\p{Nd}]/u;

/**
 * Returns the words of a text, in order, normalised.
 *
 * @param {string} text
 * @returns {string[]}
 */
export function words(text) {
  return normalise(text)
    .split(" ")
    .map((run) => run.replace(/^'+|'+$/g, ""))
    .filter((run) => LETTER_OR_DIGIT.test(run));
}

/**
 * Parts what is finished from the word that is being typed.
 *
 * @param {string} text what stands before the caret
 * @returns {{finished: string[], current: string, start: number}} the finished words; the letters
 *   of the one being typed, normalised, none after a separator; and where in `text` they begin
 */
export function split(text) {
  let start = text.length;
  for (const character of [...text].reverse()) {
    if (normalise(character).includes(" ")) break;
    start -= character.length;
  }
  // A quotation mark before a word is not part of it; one after it may be, as in "don'" on the way
  // to "don't".
  while (start < text.length && normalise(text[start]) === "'") start++;
  return {
    finished: words(text.slice(0, start)),
    current: normalise(text.slice(start)),
    start,
  };
}

function normalise(text) {
  return text
    .replace(APOSTROPHES, "'")
    .normalize("NFKC")
    .toLowerCase()
    .replaceAll("\u03c2", "\u03c3")
    .replaceAll("\u00df", "ss")
    .normalize("NFKC")
    .replace(DROPPED, "")
    .replace(SEPARATORS, " ");
}

// How text becomes words: the rules of fedkeyboard/text/words.py, repeated exactly.

const BETWEEN_LETTERS = new Set(["'", "\u00b7", "\u055f"]);
const QUOTE = '"';
const NON_JOINER = "\u200c";
const JOINER = "\u200d";
const DOT_ABOVE = "\u0307";
const VIRAMA = 9;

export class Words {
  #table;
  #folds;
  #viramas;
  #ends;

  /** @param {object} table what a package's characters.json holds */
  constructor(table) {
    this.#table = table;
    const { folds } = table;
    this.#folds = new Map();
    for (let i = 0; i < folds.length; i += 2) this.#folds.set(folds[i], folds[i + 1]);
    this.#viramas = table.classes[VIRAMA];
    this.#ends = table.ends;
  }

  /**
   * Returns the words of a text, in order, normalised.
   *
   * @param {string} text
   * @returns {string[]}
   */
  of(text) {
    return this.#words(this.#kept(text));
  }

  /**
   * Returns the words of a text by sentence.
   *
   * @param {string} text
   * @returns {string[][]}
   */
  bySentence(text) {
    const parts = [""];
    for (const character of text) {
      if (has(this.#ends, character)) parts.push("");
      else parts[parts.length - 1] += character;
    }
    return parts.map((part) => this.of(part)).filter((sentence) => sentence.length);
  }

  /**
   * Parts what is finished from the word that is being typed.
   *
   * @param {string} text what stands before the caret
   * @returns {{finished: string[], current: string, start: number}} the finished words; the letters
   *   of the one being typed, normalised, none after a separator; and where in `text` they begin
   */
  split(text) {
    // As if a letter came next: "don'" is on the way to "don't".
    const next = { character: "a", at: text.length };
    const kept = this.#kept(text, next);
    let first = kept.findLastIndex(({ character }) => character === " ") + 1;
    while (!this.#isLetter(kept[first].character)) first++;
    const start = kept[first].at;
    const current = kept.slice(first, -1).map(({ character }) => character);
    return {
      finished: this.of(text.slice(0, start)),
      current: current.join("").normalize("NFC"),
      start,
    };
  }

  // Rules 1 to 4: each character, and where in the text it comes from.
  #kept(text, ...more) {
    let kept = [];
    let at = 0;
    for (const character of text) {
      for (const each of this.#folded(character)) kept.push({ character: each, at });
      at += character.length;
    }
    kept.push(...more);
    kept = kept.filter((each, i) => !isZeroWidth(each.character) || this.#changesForms(kept, i));
    kept.forEach((each, i) => {
      if (isJoiner(each.character) && !this.#joins(kept, i)) each.character = " ";
    });
    let letter = "";
    return kept.filter(({ character }) => {
      if (!this.#isMark(character)) letter = character;
      return letter !== "i" || character !== DOT_ABOVE;
    });
  }

  #folded(character) {
    const stays = this.#isLetter(character) || this.#isMark(character);
    return this.#folds.get(character) ?? (stays ? character : " ");
  }

  // Rule 2.
  #changesForms(kept, at) {
    const { letter, marks } = this.#before(kept, at);
    const next = kept[at + 1]?.character ?? " ";
    if (!this.#isLetter(next)) return false;
    if (marks.some((mark) => has(this.#viramas, mark))) return true;
    const { dual_joining: dual, right_joining: right } = this.#table;
    const joined = has(dual, letter) && (has(dual, next) || has(right, next));
    return kept[at].character === NON_JOINER && joined;
  }

  // Rule 3.
  #joins(kept, at) {
    const next = kept[at + 1]?.character ?? " ";
    if (kept[at].character !== QUOTE) return this.#isLetter(next);
    return isHebrew(this.#before(kept, at).letter) && isHebrew(next);
  }

  #before(kept, at) {
    const marks = [];
    for (let i = at - 1; i >= 0; i--) {
      const { character } = kept[i];
      if (this.#isMark(character)) marks.push(character);
      else if (!isZeroWidth(character)) return { letter: character, marks };
    }
    return { letter: " ", marks };
  }

  // Rules 5 and 6. Browsers that run LiteRT know all characters of the table, and compose them alike.
  #words(kept) {
    const words = [];
    let word = "";
    for (const { character } of [...kept, { character: " " }]) {
      if (character === " ") {
        if (word) words.push(word.normalize("NFC"));
        word = "";
      } else if (word || this.#isLetter(character)) {
        word += character;
      }
    }
    return words;
  }

  #isLetter(character) {
    return has(this.#table.letters, character);
  }

  #isMark(character) {
    return has(this.#table.marks, character);
  }
}

function isZeroWidth(character) {
  return character === NON_JOINER || character === JOINER;
}

function isJoiner(character) {
  return character === QUOTE || BETWEEN_LETTERS.has(character);
}

function isHebrew(character) {
  return "\u05d0" <= character && character <= "\u05f2";
}

// Whether a set of the table has a character: it begins and ends at each number in turn.
function has(changes, character) {
  const codePoint = character.codePointAt(0);
  let low = 0;
  let high = changes.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (changes[middle] <= codePoint) low = middle + 1;
    else high = middle;
  }
  return low % 2 === 1;
}

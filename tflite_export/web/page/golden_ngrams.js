// Whether n-grams say what the package's golden.json says.

import { BEGIN } from "./vocabulary.js";

/** How far n-grams are from an example's: what is left of the model's, and what is added most. */
export function ngramsOff(ngrams, { ids, ngrams: expected }, vocabulary) {
  const after = [BEGIN, ...ids];
  // Of a model that gives nothing what is added is left; of one that is sure of padding, its share.
  const added = new Float64Array(vocabulary);
  ngrams.mix(added, after);
  const kept = new Float64Array(vocabulary);
  kept[0] = 1;
  ngrams.mix(kept, after);
  const best = [...added.keys()].sort((a, b) => added[b] - added[a]);
  return Math.max(
    Math.abs(kept[0] - expected.kept),
    ...expected.added.map(([id, amount]) => Math.abs(added[id] - amount)),
    // None is larger than the last of these.
    ...best.slice(0, expected.added.length).map((id, i) => added[id] - expected.added[i][1]),
    expected.added.length < 5 ? added[best[expected.added.length]] : 0,
  );
}

"""Text becomes ids: words, the vocabulary that is learned from them, pieces of words."""

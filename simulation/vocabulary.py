"""Who learns an experiment's vocabulary, and from what: a seam.

Today all training users' raw text is counted in one place, which no real fleet could do
(`of_all_text`). What learns the words of a fleet without seeing anybody's text is another `Source`.
"""

from collections.abc import Callable

from fedkeyboard.data.population import Population
from fedkeyboard.simulation import config as configs
from fedkeyboard.text import subwords, vocabulary
from fedkeyboard.text.tokenizer import Tokenizer
from fedkeyboard.text.vocabulary import SharedWords

Source = Callable[[Population, configs.Tokenizer], SharedWords]
"""Returns the words that enough training users wrote, by settings whose defaults are resolved.

It raises UserError if fewer than three are left.
"""


def of_all_text(population: Population, settings: configs.Tokenizer) -> SharedWords:
    """Counts the words of all training users' text: a `Source`."""
    texts = map(population.sentences, population.users("train"))
    return vocabulary.shared_words(texts, settings.minimum_users, settings.digits)


def learn(
    population: Population, settings: configs.Tokenizer, source: Source = of_all_text
) -> Tokenizer:
    """Returns the vocabulary that settings, with their defaults resolved, ask for.

    Raises:
      UserError: As the source does, or if the words have more characters than fit.
    """
    return subwords.of_shared(source(population, settings), settings.kind, settings.vocabulary_size)

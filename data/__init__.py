"""Text becomes a population: corpora, cleaning, splits by user, the population file."""

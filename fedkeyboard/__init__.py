"""Federated next-word prediction: tokenizer, model, local training, TFF algorithms, metrics."""

__version__ = "0.1.0"

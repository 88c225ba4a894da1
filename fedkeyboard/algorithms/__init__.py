"""A federated algorithm a file, and what they share: client work, rates, server optimizers."""

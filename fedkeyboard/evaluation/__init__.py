"""What a model is worth: metrics, scorers, and the models that it is compared with."""

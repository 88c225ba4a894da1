"""Sweeps over an experiment's settings."""

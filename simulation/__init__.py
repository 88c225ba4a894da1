"""Phones in time: cohorts, the round loop, runs and their reports."""

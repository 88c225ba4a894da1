"""TFF's worker and the context that runs cohorts in it; others import the session only."""

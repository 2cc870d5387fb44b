"""Benchmark `evidence`: error rates that docs state, measured in simulated worlds with the project's functions."""

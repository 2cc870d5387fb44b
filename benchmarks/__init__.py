"""Benchmarks beside other tools or against goals of our own; their figures are in benchmarks/results/."""

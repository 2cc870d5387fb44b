"""Benchmarks beside other tools or against goals of our own; their figures are in benchmarks/results/."""

import components  # noqa: F401 - which finds the recorder's package

"""Rates counted in simulated worlds, with the bound that a goal is judged by."""

from typing import Literal

from scipy.stats import binomtest

from benchmarks.results import goal


def rate(hits: int, worlds: int) -> dict[str, float]:
    """A rate with its exact 95% interval."""
    interval = binomtest(hits, worlds).proportion_ci(0.95, method="exact")
    return {"rate": hits / worlds, "low": interval.low, "high": interval.high, "worlds": worlds}


def rate_goal(
    name: str, counted: dict[str, float], target: float, better: Literal["higher", "lower"], says: str
) -> dict:
    """The goal of a rate: the worse end of its interval counts."""
    worse = counted["low" if better == "higher" else "high"]
    return goal(
        name, worse, target, better, f"{says}; 95% bound of {counted['rate']:.4f} in {counted['worlds']} worlds"
    )

"""Learning rates for `make bench NAME=train`: three per contestant at the horizon of the benchmark, one seed.

    python -m benchmarks.train_tune [--seconds 150]

Writes benchmarks/train_rates.json, which the benchmark reads. All contestants get as many tries. The rates are
chosen on the benchmark's own held-out text, so all gain alike.
"""

import argparse

from benchmarks.train_runs import NAMES, RATES, prepare, run, steps_for
from components.core.files import rounded, write_json

GRID = {
    "ours": (0.01, 0.02, 0.04),
    "classic": (1e-3, 2e-3, 4e-3),
    "trainer": (1e-3, 2e-3, 4e-3),
    "litgpt": (1e-3, 2e-3, 4e-3),
}
PROBE_STEPS = 12


def main() -> None:
    """Run the grid and write the best rate of each contestant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=150.0, help="of each run (default: 150)")
    seconds = parser.parse_args().seconds
    prepare()
    found: dict[str, dict] = {}
    for name in NAMES:
        steps = steps_for(seconds, run(name, PROBE_STEPS, GRID[name][1]))
        tried = {str(rate): run(name, steps, rate)["bits_per_byte"] for rate in GRID[name]}
        found[name] = {"rate": float(min(tried, key=lambda rate: tried[rate])), "tried": tried, "steps": steps}
    write_json(RATES, rounded({"seconds": seconds, "contestants": found}))
    print(f"written: {RATES.name}")


if __name__ == "__main__":
    main()

"""All benchmarks by name: `make bench NAME=data`, or `python -m benchmarks data` and the benchmark's own options."""

import subprocess
import sys
from dataclasses import dataclass

from benchmarks import ROOT

PEERS = ("pip", "install", "-q", "-c", "constraints.txt", "-e", ".[bench]")
"""Installs the tools that Greenhouse is compared with."""


@dataclass(frozen=True)
class Benchmark:
    """A benchmark: its description, and the modules with arguments that it runs one after the other."""

    description: str
    commands: tuple[tuple[str, ...], ...]


BENCHMARKS = {
    "data": Benchmark(
        "the data stages beside datatrove and tokenizers, and ten times the text: an hour; --only dedup,filters",
        (PEERS, ("benchmarks.data",)),
    ),
    "train": Benchmark(
        "training beside LitGPT and nanochat: 50 minutes, resumable; --nanochat CHECKOUT, --trial, --second-seed",
        (("benchmarks.train",),),
    ),
    "scaling": Benchmark(
        "the sweep behind the scaling errors in train.json, after `make demo`: two hours",
        (("flows.cli", "study", "scaling", "--sweep", "benchmarks/scaling.yaml"), ("benchmarks.train", "--scaling")),
    ),
    "bases": Benchmark(
        "bases of ten architectures, rows and readers, after `make demo`: an hour or more; --only tuned",
        (PEERS, ("benchmarks.bases",)),
    ),
    "gpu": Benchmark(
        "the GPU path on a pretended device, after `make demo`: 10 minutes, resumable", (("benchmarks.gpu",),)
    ),
    "gpu-check": Benchmark("for whoever has a GPU; not run on one yet", (("benchmarks.gpu.check",),)),
    "evidence": Benchmark("error rates of intervals, gate and tests in simulated worlds", (("benchmarks.evidence",),)),
    "overhead": Benchmark("what Prefect, DVC, MLflow and the meter add: under 10 minutes", (("benchmarks.overhead",),)),
    "pages": Benchmark("the report in headless Chromium, after `make demo`: a minute", (("benchmarks.pages",),)),
    "chaos": Benchmark(
        "faults at random moments of a small pipeline, and what survives: a minute a trial, resumable; --trials 5",
        (("benchmarks.chaos",),),
    ),
    "mutants": Benchmark(
        "small changes to the modules that figures rest on, and whether tests notice: an hour, resumable; --only gate",
        (("benchmarks.mutants",),),
    ),
    "foreign": Benchmark(
        "text of others in many scripts: what the filter loses, keeps, drops and finds: 15 minutes; --only junk",
        (PEERS, ("benchmarks.foreign",)),
    ),
    "proof": Benchmark(
        "models tampered with, texts forgotten, kills, attacks from outside: 75 minutes; --only tamper,outside",
        (("benchmarks.proof",),),
    ),
    "any": Benchmark(
        "other trainers recorded, killed, resumed, edited, adopted: 15 minutes; --nanochat CHECKOUT, --only costs",
        (PEERS, ("benchmarks.any",)),
    ),
    "long": Benchmark(
        "the test cases that `make test` leaves out: under an hour", (("pytest", "-n", "2", "-m", "long"),)
    ),
}


def names() -> str:
    """All names, separated by commas."""
    return ", ".join(BENCHMARKS)


def run(name: str, options: list[str]) -> int:
    """Exit status of a benchmark; the options go to its last module."""
    *before, last = BENCHMARKS[name].commands
    for command in (*before, (*last, *options)):
        if status := subprocess.run([sys.executable, "-m", *command], cwd=ROOT).returncode:
            return status
    return 0


def main(arguments: list[str]) -> int:
    """Run the benchmark that the first argument names; without one, list all. Returns the exit status."""
    if not arguments:
        print("make bench NAME=...")
        for name, benchmark in BENCHMARKS.items():
            print(f"  {name:<12} {benchmark.description}")
        return 0
    name, *options = arguments
    if name not in BENCHMARKS:
        print(f"No benchmark is named {name!r}; there are {names()}.", file=sys.stderr)
        return 2
    return run(name, options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

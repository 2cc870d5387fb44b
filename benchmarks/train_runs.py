"""Runs of the contestants of `make bench NAME=train`: one process after the other.

LitGPT 0.5.13 asks for an older huggingface-hub than transformers 5 allows, so it cannot be installed beside us. It gets
an environment of its own under `.greenhouse/bench/`, on top of ours, without that one dependency, which pretraining
does not touch.
"""

import json
import math
import os
import shutil
import sys
from typing import Any

from benchmarks.processes import TWO_THREADS, output, result_of
from benchmarks.results import ROOT
from benchmarks.stamp import commit, machine

THREADS = 2
LITGPT = ("litgpt==0.5.13", "lightning==2.6.6", "lightning-utilities==0.15.3", "torchmetrics==1.9.0",
          "jsonargparse==4.41.0", "typeshed-client==2.15.0")  # fmt: skip
BENCH = ROOT / ".greenhouse" / "bench"
CORPUS = BENCH / "shakespeare"
LOG = BENCH / "train-runs.jsonl"
"""Every run, so that a benchmark that was ended goes on."""
NANOCHAT = BENCH / "nanochat"
"""A checkout, or a link to one."""
PEERS = ("litgpt", "nanochat")


def prepare() -> None:
    """Make the corpus and LitGPT's environment, unless they are there."""
    code = "from benchmarks import train_corpus, train_runs; train_corpus.write(train_runs.CORPUS)"
    output([sys.executable, "-c", code], env=environment())
    target = BENCH / "litgpt-packages"
    if not target.exists():
        aside = BENCH / "litgpt-aside"
        shutil.rmtree(aside, ignore_errors=True)
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(aside), *LITGPT]
        output(install)
        aside.rename(target)


def environment(contestant: str = "", dtype: str = "bfloat16") -> dict[str, str]:
    """Environment variables of a contestant's process."""
    paths = [ROOT, *{"litgpt": [BENCH / "litgpt-packages"], "nanochat": [NANOCHAT]}.get(contestant, [])]
    return os.environ | TWO_THREADS | {"PYTHONPATH": os.pathsep.join(map(str, paths)), "NANOCHAT_DTYPE": dtype}


def run(
    contestant: str, steps: int, rate: float, seed: int = 1, dtype: str = "bfloat16", tuning: bool = False
) -> dict[str, Any]:
    """Figures of one training run (train_contestants.py), of the log if it was made at this commit and processor.

    Args:
        dtype: nanochat's.
        tuning: a rate is tried: the loss is of other windows than those that are reported.
    """
    job = {"contestant": contestant, "steps": steps, "rate": rate, "seed": seed, "threads": THREADS, "tuning": tuning}
    this = job | {"dtype": dtype, "commit": commit(), "machine": machine()}
    rows = map(json.loads, LOG.read_text().splitlines() if LOG.exists() else [])
    found = next((row["found"] for row in rows if row["job"] == this), None)
    if found is None:
        found = result_of("benchmarks.train_contestants", job | {"corpus": str(CORPUS)}, environment(contestant, dtype))
        with LOG.open("a") as file:
            file.write(json.dumps({"job": this, "found": found}) + "\n")
    print(
        f"{contestant:>8} rate {rate:<6g} seed {seed}: {found['steps']} steps in {found['seconds']:.1f} s "
        f"(first steps {found['compile_s']:.1f} s more), {found['tokens_per_s'] / 1e3:.2f}k tokens/s, "
        f"{found['bits_per_byte']:.4f} bits per byte, {found['peak_mb']:.0f} MB",
        flush=True,
    )
    return found | {"dtype": dtype}


def steps_for(seconds: float, probe: dict[str, Any]) -> int:
    """Steps that fit a time limit, the compile included, as fast as `probe` was."""
    return max(10, math.floor((seconds - probe["compile_s"]) / probe["step_s"]))

"""Runs of the contestants of `make bench NAME=train`: one process after the other.

LitGPT 0.5.13 asks for an older huggingface-hub than transformers 5 allows, so it cannot be installed beside us. It gets
an environment of its own under `.greenhouse/bench/`, on top of ours, without that one dependency, which pretraining
does not touch.
"""

import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.results import ROOT
from components.core.files import read_json

THREADS = 2
LITGPT = ("litgpt==0.5.13", "lightning==2.6.6", "lightning-utilities==0.15.3", "torchmetrics==1.9.0",
          "jsonargparse==4.41.0", "typeshed-client==2.15.0")  # fmt: skip
BENCH = ROOT / ".greenhouse" / "bench"
CORPUS = BENCH / "shakespeare"
RATES = ROOT / "benchmarks" / "train_rates.json"
NAMES = ("trainer", "litgpt", "ours")


def prepare() -> None:
    """Make the corpus and LitGPT's environment, unless they are there."""
    code = "from benchmarks import train_corpus, train_runs; train_corpus.write(train_runs.CORPUS)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment(), check=True)
    target = BENCH / "litgpt-packages"
    if not target.exists():
        aside = BENCH / "litgpt-aside"
        shutil.rmtree(aside, ignore_errors=True)
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(aside), *LITGPT]
        subprocess.run(install, check=True)
        aside.rename(target)


def environment(contestant: str = "") -> dict[str, str]:
    """Environment variables of a contestant's process; no compile cache of an earlier run is used."""
    paths = [str(ROOT)] + ([str(BENCH / "litgpt-packages")] if contestant == "litgpt" else [])
    fixed = {"OMP_NUM_THREADS": str(THREADS), "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    return os.environ | fixed | {"PYTHONPATH": os.pathsep.join(paths)}


def run(contestant: str, steps: int, rate: float, seed: int = 1) -> dict[str, Any]:
    """Figures of one training run (train_contestants.py)."""
    with tempfile.TemporaryDirectory(prefix="greenhouse-bench-") as temporary:
        place = Path(temporary)
        job = {"contestant": contestant, "steps": steps, "rate": rate, "seed": seed, "threads": THREADS}
        job |= {
            "corpus": str(CORPUS),
            "work": str(place / "work"),
            "result": str(place / "result.json"),
        }
        command = [sys.executable, "-W", "ignore", "-m", "benchmarks.train_contestants", json.dumps(job)]
        cache = {"TORCHINDUCTOR_CACHE_DIR": str(place / "inductor")}
        variables = environment(contestant) | cache
        done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{contestant} failed:\n{done.stderr[-4000:]}")
        found = read_json(place / "result.json")
    print(
        f"{contestant:>8} rate {rate:<6g} seed {seed}: {found['steps']} steps in {found['seconds']:.1f} s "
        f"(first steps {found['compile_s']:.1f} s more), {found['tokens_per_s'] / 1e3:.2f}k tokens/s, "
        f"{found['bits_per_byte']:.4f} bits per byte, {found['peak_mb']:.0f} MB",
        flush=True,
    )
    return found


def steps_for(seconds: float, probe: dict[str, Any]) -> int:
    """Steps that fit a time limit, the compile included, as fast as `probe` was."""
    return max(10, math.floor((seconds - probe["compile_s"]) / probe["step_s"]))

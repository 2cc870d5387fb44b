"""Forecast of a training's memory beside what the process took at its peak, from 3 M to 1 B parameters.

`python -m benchmarks.bases.memory SIZE PLACE TARGET` is the stage's process. The largest is a base in bfloat16 that is
tuned by LoRA; it is killed once too, started again, and compared with the run that nobody disturbed.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

from benchmarks.bases.packages import file_of, minilm
from benchmarks.bases.rows_files import ORANGE
from benchmarks.bases.tiny import save_tiny
from benchmarks.bases.tuned import prepare
from benchmarks.kill_and_resume import Job, hashes, there
from benchmarks.processes import of_module, output
from benchmarks.results import goal
from components.core.progress import Progress
from components.params import Classify, Finetune, Instruct, Numerics
from components.stages.finetune.stage import finetune
from components.training.forecast import peak_bytes

SIZES: dict[str, dict[str, Any]] = {
    "3 M": {"hidden_size": 192, "num_hidden_layers": 6},
    "3 M, 120 steps": {"hidden_size": 192, "num_hidden_layers": 6},
    "20 M": {"hidden_size": 192, "num_hidden_layers": 12, "vocab_size": 32_000},
    "60 M": {"hidden_size": 640, "num_hidden_layers": 12},
    "1 B": {"hidden_size": 2048, "num_hidden_layers": 19, "vocab_size": 32_000, "dtype": "bfloat16"},
}  # fmt: skip
"""Llamas by name; the vocabulary is 600, or what a real base of the size has."""
TUNED: dict[str, dict[str, Any]] = {
    "3 M, 120 steps": {"steps": 120, "checkpoint_every": 60},  # kernels of many shapes, as a user's run has them
    "1 B": {"batch": 2, "context": 64, "lora_rank": 8},
    "22 M, classes": {"context": 128, "max_pairs": 600, "learning_rate": 5e-5},
}
"""Other settings than those of all, by size."""
CLASSES, LARGEST = "22 M, classes", "1 B"
"""MiniLM on 20 newsgroups, TF-IDF and rules beside it; and what is killed too."""
STEPS, PARTS = 4, ("out", "reports", "work")


class Told(Progress):
    """Progress that keeps the forecast, in bytes."""

    memory = 0.0

    def log(self, text: str) -> None:
        if found := re.match(r"forecast: ([\d.e+]+) GB", text):
            self.memory = float(found[1]) * 1e9


def made(size: str, place: Path) -> Path:
    """The folder of a llama of that size."""
    base = place / f"bases/{size}"
    fields = {"vocab_size": 600} | SIZES[size] | {"intermediate_size": 3 * SIZES[size]["hidden_size"]}
    heads = {"num_attention_heads": SIZES[size]["hidden_size"] // 64, "num_key_value_heads": 1}
    if not base.exists():
        save_tiny("llama", (place / "causal/tokenizer.json").read_text(), folder=base, **fields | heads)
    return base


def tuned(size: str, place: Path, target: Path) -> None:
    """In a process of its own: tune a base of that size, and print what was forecast and taken."""
    base, rows, told = place / f"bases/{size}", place / "chats.jsonl", Told()
    if size == LARGEST:
        (rows := place / "few.jsonl").write_text("\n".join((place / "chats.jsonl").read_text().splitlines()[:60]))
    given: dict[str, Any] = {"steps": STEPS, "checkpoint_every": 2, "base": str(base)} | TUNED.get(size, {})
    params: Finetune = Instruct(**{"batch": 16, "context": 96} | given)
    if size == CLASSES:
        base, rows, params = (
            minilm(place),
            file_of(ORANGE, "datasets/20newsgroups-train.tab", place)[0],
            Classify(**given),
        )
    finetune(branch="classify" if size == CLASSES else "instruct", base=base, train=rows, heldout=place / "heldout",
             params=params, numerics=Numerics(), progress=told, **{part: target / part for part in PARTS})  # fmt: skip
    peak = peak_bytes()
    print(json.dumps({"size": size, "forecast_bytes": told.memory, "peak_bytes": peak,
                      "error": abs(told.memory / peak - 1)}))  # fmt: skip


def killed(size: str, place: Path, whole: Path) -> dict[str, Any]:
    """Whether a run that was killed, and started again, ends with the bytes of `whole`."""
    job = Job(of_module("benchmarks.bases.memory", size, place, place / "killed"), place / "killed")
    kill = job.kill(there(job.place, f"work/checkpoints/step-{STEPS // 2:06d}"))
    assert kill.in_time, f"{size}: it had ended before it was killed"
    assert not kill.left, f"{size}: {kill.left} outlived the kill"
    job.run()
    same = hashes(whole, "out", "reports") == hashes(job.place, "out", "reports")
    return {"killed_at_step": STEPS // 2, "same_bytes": same}


def measure(place: Path) -> tuple[dict, list[dict], list[dict]]:
    """Results, goals and raw rows."""
    prepare(place)
    rows = []
    for size in (CLASSES, *SIZES):
        if size in SIZES:  # in a process of its own: what it takes would count as the bench's
            code = f"from benchmarks.bases.memory import *; made({size!r}, Path({str(place)!r}))"
            output([sys.executable, "-c", code])
        printed = output(of_module("benchmarks.bases.memory", size, place, place / f"memory {size}"))
        rows.append(json.loads(printed.splitlines()[-1]))
        print(rows[-1], flush=True)
    rows[-1] |= killed(LARGEST, place, place / f"memory {LARGEST}")
    worst = max(row["error"] for row in rows)
    says = f"of the peak of the whole process, the worst of {', '.join((CLASSES, *SIZES))} parameters"
    return {"memory": {row["size"]: row for row in rows}}, [
        goal("forecast_memory_error", worst, 0.15, "lower", says)
    ], rows  # fmt: skip


if __name__ == "__main__":
    tuned(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))

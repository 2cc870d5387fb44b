"""Forecast of a training's memory beside what the process took at its peak, at three sizes: `memory.py SIZE PLACE`."""

import json
import re
import resource
import sys
from pathlib import Path
from typing import Any

from benchmarks.bases.tiny import save_tiny
from benchmarks.bases.tuned import prepare
from benchmarks.processes import of_module, output
from benchmarks.results import goal
from components.core.progress import Progress
from components.params import Instruct, Numerics
from components.stages.finetune.stage import finetune

SIZES: dict[str, dict[str, Any]] = {
    "3 M": {"hidden_size": 192, "num_hidden_layers": 6},
    "20 M": {"hidden_size": 192, "num_hidden_layers": 12, "vocab_size": 32_000},
    "60 M": {"hidden_size": 640, "num_hidden_layers": 12},
}  # fmt: skip
"""Llamas by name; the vocabulary is 600, or what a real base of the size has."""
STEPS = 4


class Told(Progress):
    """Progress that keeps the forecast, in bytes."""

    memory = 0.0

    def log(self, text: str) -> None:
        if found := re.match(r"forecast of the training alone: ([\d.e+]+) GB", text):
            self.memory = float(found[1]) * 1e9


def tuned(size: str, place: Path) -> None:
    """In a process of its own: tune a llama of that size, and print what was forecast and taken."""
    base, target, told = place / f"bases/{size}", place / f"memory {size}", Told()
    fields = {"vocab_size": 600} | SIZES[size] | {"intermediate_size": 3 * SIZES[size]["hidden_size"]}
    heads = {"num_attention_heads": SIZES[size]["hidden_size"] // 64, "num_key_value_heads": 1}
    save_tiny("llama", (place / "causal/tokenizer.json").read_text(), folder=base, **fields | heads)
    folders = {name: target / name for name in ("out", "reports", "work")}
    params = Instruct(steps=STEPS, batch=16, context=96, checkpoint_every=2, base=str(base))
    finetune(branch="instruct", base=base, train=place / "chats.jsonl", heldout=place / "heldout", params=params,
             numerics=Numerics(), progress=told, **folders)  # fmt: skip
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"size": size, "forecast_bytes": told.memory, "peak_bytes": peak,
                      "error": abs(told.memory / peak - 1)}))  # fmt: skip


def measure(place: Path) -> tuple[dict, list[dict], list[dict]]:
    """Results, goals and raw rows."""
    prepare(place)
    rows = []
    for size in SIZES:
        printed = output(of_module("benchmarks.bases.memory", size, place))
        rows.append(json.loads(printed.splitlines()[-1]))
        print(rows[-1], flush=True)
    worst = max(row["error"] for row in rows)
    says = f"of the peak of the whole process, the worst of {', '.join(SIZES)} parameters"
    return {"memory": {row["size"]: row for row in rows}}, [
        goal("forecast_memory_error", worst, 0.15, "lower", says)
    ], rows  # fmt: skip


if __name__ == "__main__":
    tuned(sys.argv[1], Path(sys.argv[2]))

"""Fine-tuning beside trl: `make bench NAME=finetune`.

    python -m benchmarks.finetune [--only speed,kill,labels] [--rounds 3] [--steps 60]

    speed    tokens per second of ours and trl, one after the other in every round
    kill     every method killed (SIGKILL) and started again: the same bytes
    labels   how many labels pretraining is worth, of the last `greenhouse study labels`

A part that was measured at this commit is not measured again unless `--only` names it, so a bench that was cut short
goes on where it was.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import finetune_kill, stamp
from benchmarks.processes import TWO_THREADS, output, result_of
from benchmarks.results import ROOT, figure, goal, write
from benchmarks.train_runs import BENCH, CORPUS, THREADS
from components.core.files import read_json

RESULTS = ROOT / "benchmarks" / "results" / "finetune.json"
LABELS = ROOT / "reports" / "label_efficiency" / "label_efficiency.json"
PLACE = BENCH / "finetune"
CONTESTANTS = ("ours", "trl")

Results = tuple[dict[str, Any], list[dict]]
"""Results and goals."""


def prepare(place: Path) -> None:
    """The corpus, and what both sides start from; in a process of its own, since torch takes its threads once."""
    code = (
        "from benchmarks import finetune_contestants, train_corpus; from pathlib import Path; import sys; "
        "corpus, place = map(Path, sys.argv[1:]); train_corpus.write(corpus); "
        "finetune_contestants.prepare(corpus, place)"
    )
    output([sys.executable, "-c", code, str(CORPUS), str(place)])


def run(contestant: str, steps: int, base: Path = PLACE) -> dict[str, Any]:
    """Result of one job of finetune_contestants.py."""
    job = {"contestant": contestant, "steps": steps, "threads": THREADS, "place": str(base)}
    return result_of("benchmarks.finetune_contestants", job, os.environ | TWO_THREADS)


def speed(rounds: int, steps: int) -> Results:
    """Tokens per second; the ratio is the median over rounds, of two runs that followed each other."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in CONTESTANTS}
    for number in range(rounds):
        for name in CONTESTANTS:
            one = run(name, steps)
            found[name].append(one)
            print(f"round {number + 1} {name:>10}: {one['tokens_per_s'] / 1e3:.2f}k tokens/s, mean loss "
                  f"{one['loss']:.4f}", flush=True)  # fmt: skip
    results: dict[str, dict[str, Any]] = {
        name: {key: figure([one[key] for one in runs]) for key in ("tokens_per_s", "loss", "tokens_per_step")}
        for name, runs in found.items()
    }
    pairs = zip(found["ours"], found["trl"], strict=True)
    ratio = figure([one["tokens_per_s"] / other["tokens_per_s"] for one, other in pairs])
    says = "real tokens per second, times the peer's"
    return {"speed": results | {"sft_tokens_per_s_vs_trl": ratio}}, [
        goal("sft_tokens_per_s_vs_trl", ratio["median"], 1.5, "higher", says)
    ]


def kill() -> Results:
    """Every method killed and started again."""
    found = {}
    place = PLACE / "kill"
    finetune_kill.prepare(place)
    for method in finetune_kill.METHODS:
        with tempfile.TemporaryDirectory(prefix="greenhouse-bench-") as temporary:
            found[method] = finetune_kill.same_bytes(method, place, Path(temporary))
        print(f"{method:>12}: {found[method]}", flush=True)
    same = float(all(one["same"] for one in found.values()))
    return {"kill": found}, [goal("same_bytes_after_kill", same, 1, "higher", f"of {', '.join(found)}")]


def labels() -> Results:
    """Label efficiency of the study's last run; nothing if there was none."""
    if not LABELS.exists():
        print("no label efficiency: `greenhouse study labels`, then `--only labels`, has it here")
        return {}, []
    found = read_json(LABELS)["label_efficiency"]
    value = found["low"] if found["low"] is not None else 0.0
    says = "labels that training from scratch needs for what pretraining reaches with 64, over 64: lower bound"
    return {"labels": found}, [goal("label_efficiency", value, 4, "higher", says)]


def main() -> None:
    """Measure the parts; results are written after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="parts, with commas between")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=60)
    chosen = parser.parse_args()
    parts: dict[str, Callable[[], Results]] = {
        "speed": lambda: speed(chosen.rounds, chosen.steps), "kill": kill, "labels": labels,
    }  # fmt: skip
    if unknown := [name for name in chosen.only.split(",") if name and name not in parts]:
        parser.error(f"no part {unknown[0]!r}; there are {', '.join(parts)}")
    prepare(PLACE)
    measured = read_json(RESULTS).get("measured", {}) if RESULTS.exists() else {}
    for name, measure in parts.items():
        done = measured.get(name, {}).get("commit") == stamp.commit()
        if name in chosen.only.split(",") or (not chosen.only and not done):
            results, goals = measure()
            if results:
                write("finetune", results, goals)
        elif done and not chosen.only:
            print(f"{name}: measured at this commit already")


if __name__ == "__main__":
    main()

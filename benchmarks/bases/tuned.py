"""Ten architectures and MiniLM, all weights and LoRA, each killed once and started again: the same bytes."""

import tempfile
from pathlib import Path
from shutil import copytree
from typing import Any

from benchmarks import finetune_kill
from benchmarks.bases.packages import minilm
from benchmarks.bases.tiny import ARCHITECTURES, save_tiny
from benchmarks.finetune_kill import WAYS
from benchmarks.results import goal
from components.core.errors import UserError


def bases(place: Path) -> list[str]:
    """Write the bases and what they are tuned on; returns their names."""
    finetune_kill.prepare(place)
    tokenizer_json = (place / "causal/tokenizer.json").read_text()
    for kind in ARCHITECTURES:
        save_tiny(kind, tokenizer_json, 600, place / "bases" / kind)
    minilm(place)
    return [*ARCHITECTURES, "minilm"]


def tuned(place: Path, kind: str, way: str) -> dict[str, Any]:
    """A row: whether a base was tuned, killed, resumed, and ended with the bytes of an undisturbed run."""
    row: dict[str, Any] = {"base": kind, "way": way, "killed_at_step": "", "files": 0, "same": False, "fault": ""}
    with tempfile.TemporaryDirectory(dir=place) as folder:
        try:
            row |= finetune_kill.same_bytes(f"{kind}-{way}", place, Path(folder))
            copytree(Path(folder) / "whole/out", place / "tuned" / f"{kind}-{way}", dirs_exist_ok=True)
        except (AssertionError, UserError) as error:
            row["fault"] = str(error)
    print(row, flush=True)
    return row


def measure(place: Path) -> tuple[dict, list[dict], list[dict]]:
    """Results, goals and raw rows."""
    names = bases(place)
    rows = [tuned(place, kind, way) for kind in names for way in WAYS]
    same = {kind for kind in names if all(row["same"] for row in rows if row["base"] == kind)}
    says = f"of {len(ARCHITECTURES)} tiny ones, all weights and LoRA: the same bytes after a kill"
    results = {"tuned": {"bases": names, "same": sorted(same), "trainings": len(rows)}}
    return (
        results,
        [goal("architectures_tuned", len(same & {*ARCHITECTURES}), len(ARCHITECTURES), "higher", says)],
        rows,
    )

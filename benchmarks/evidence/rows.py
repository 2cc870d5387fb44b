"""Rows of a finished demo held against counting, and what one more training would score.

Counts what `greenhouse study seeds` left in this checkout: the workspace and its experiments. The spread of every row
over these trainings is written to components/seed_spread.json, by which verdicts are made; so this group comes before
the release, and `simulated` says how often such verdicts are false. Of the trainings those with an even number stand
for another processor: torch then has instructions of AVX2 alone.

    greenhouse study seeds runs=1; ATEN_CPU_CAPABILITY=avx2 greenhouse study seeds runs=2; greenhouse study seeds runs=3
"""

from collections import Counter
from typing import Any

import numpy as np

from benchmarks.results import goal
from benchmarks.tables import ROOT
from components.core.files import rounded, write_json
from components.scores import Score
from components.stages.account.score_rows import ScoreRow, all_scores, score_rows
from components.stages.account.summary import MODELS
from components.statistics import critical_t
from components.verdicts import row_name, shipped_spread
from flows.tracking.model_origin import collect
from flows.tracking.snapshots import Snapshot, experiments, find

SPREAD = ROOT / "components" / "seed_spread.json"
LEAST_TRAININGS = 3
AIMED = {
    "pretrain/causal bits_per_byte/bits_per_byte",
    "pretrain/masked masked/accuracy",
    "finetune/classify classify/accuracy",
    "finetune/instruct instruct/choice_accuracy",
}


def answers(one: Snapshot) -> dict:
    """What is known of every model of a state."""
    return {model: collect(one, model.replace("/", "@")) for model in MODELS if model.replace("/", "@") in one.lock}


def spreads(trainings: list[list[Score]]) -> dict[str, dict[str, Any]]:
    """Row -> standard deviation over the trainings, their number, and the value of each."""
    values: dict[str, list[float]] = {}
    for scores in trainings:
        for score in scores:
            values.setdefault(row_name(score), []).append(score.value)
    return {
        name: {"sd": float(np.std(row, ddof=1)), "trainings": len(row), "values": row}
        for name, row in sorted(values.items())
        if len(row) >= LEAST_TRAININGS
    }


def covered(values: list[float]) -> list[bool]:
    """Whether the 95% prediction interval of the others holds each value, left out in turn."""
    hits = []
    for index, value in enumerate(values):
        others = np.delete(values, index)
        reach = critical_t(len(others) - 1, 0.95) * others.std(ddof=1) * (1 + 1 / len(others)) ** 0.5
        hits.append(bool(abs(value - others.mean()) <= reach + 1e-12))
    return hits


def kind_of(training: str) -> str:
    """The processor that a training stands for; the workspace's is the machine's own."""
    return "AVX2 alone" if training[-1] in "02468" else "own"


def _row(row: ScoreRow) -> dict:
    """A row of the demo's table as it stands in the csv."""
    score = row.score
    rule, value = score.beside
    named = {"row": row_name(score), "value": score.value, "verdict": row.said}
    return named | {"best_rule": rule, "of_best_rule": value, "rules": score.rules}


def measure(_: int) -> tuple[dict, list[dict], dict[str, list[dict]]]:
    """The spread of every row, the verdicts of the workspace's table, and the rules of its rows."""
    runs = [find("workspace"), *(find(name) for name in sorted(experiments()) if name.startswith("seeds-"))]
    found = [answers(one) for one in runs]
    spread = spreads([all_scores(one) for one in found])
    raw: dict[str, list[dict]] = {}
    if spread:  # else the one that ships stands
        known = {name: {key: row[key] for key in ("sd", "trainings")} for name, row in spread.items()}
        write_json(SPREAD, rounded(known))
        shipped_spread.cache_clear()
        raw["trainings"] = [
            {"row": name, "training": one.name, "processor": kind_of(one.name), "value": value}
            for name, row in spread.items()
            for one, value in zip(runs, row["values"], strict=False)
        ]
    rows = score_rows(found[0])
    table = [_row(row) for row in rows if row.score.rules]
    better = sorted(row["row"] for row in table if row["verdict"] == "better" and row["row"] in AIMED)
    hits = [hit for row in spread.values() if len(row["values"]) > 3 for hit in covered(row["values"])]
    results: dict[str, Any] = {"demo_verdicts": dict(Counter(row["verdict"] for row in table))}
    goals = [
        goal("rules_per_row_min", min(row["rules"] for row in table), 4, "higher", "rules that a row is held against"),
        goal("demo_rows_better", len(better), 2, "higher", f"of four rows named: {', '.join(better) or 'none'}"),
    ]
    if hits:
        results |= {"prediction_interval_coverage": float(np.mean(hits)), "trainings": len(runs)}
        says = (
            f"a training within the 95% prediction interval of the others, {len(hits)} cases of {len(runs)} trainings, "
            f"{sum(kind_of(one.name) != 'own' for one in runs)} of them with ATEN_CPU_CAPABILITY=avx2"
        )
        goals.append(goal("prediction_interval_coverage", float(np.mean(hits)), 0.9, "higher", says))
    return results, goals, raw | {"demo": table}

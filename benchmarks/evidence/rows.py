"""Rows of a finished demo held against counting, and what one more training would score.

Counts what `greenhouse study seeds` left in this checkout: the workspace and its experiments. The spread of every row
over these trainings is written to components/seed_spread.json, by which verdicts are made; so this group comes before
the release, and `simulated` says how often such verdicts are false. Of the trainings those with an even number stand
for another processor: torch then has instructions of AVX2 alone.

    greenhouse study seeds runs=1; ATEN_CPU_CAPABILITY=avx2 greenhouse study seeds runs=2; greenhouse study seeds runs=3
"""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.evidence.known import context_of
from benchmarks.results import figure, goal
from benchmarks.tables import ROOT
from components.core.files import read_json, rounded, write_json
from components.core.progress import Progress
from components.counting import registry
from components.params import Numerics
from components.params.files import load
from components.scores import Score
from components.stages.account.score_rows import ScoreRow, all_scores, score_rows
from components.stages.account.summary import MODELS
from components.stages.evaluate.registry import TASKS
from components.stages.finetune.job import Job
from components.verdicts import one_more, row_name, shipped_spread
from flows.tracking.model_origin import collect
from flows.tracking.snapshots import ObjectCache, Snapshot, experiments, find

SPREAD = ROOT / "components" / "seed_spread.json"
LEAST_TRAININGS, LEAST_RULES = 3, 4
POSED = ("bits_per_byte", "masked", "answers", "minimal_pairs", "few_shot", "chain_of_thought", "recall", "open_book")
"""Tasks of `evaluate` in which rules are posed; of fine-tuning, the classifier."""
AIMED = {
    "pretrain/causal bits_per_byte/bits_per_byte",
    "pretrain/masked masked/accuracy",
    "finetune/classify classify/accuracy",
    "finetune/instruct instruct/choice_accuracy",
}


def answers(one: Snapshot) -> dict:
    """What is known of every model of a state."""
    return {model: collect(one, model.replace("/", "@")) for model in MODELS if model.replace("/", "@") in one.lock}


def values_of(training: Snapshot, scores: Iterable[Score]) -> dict[str, float]:
    """Row -> value of these scores in a training; of one that it has as a metric alone, that."""
    own = {row_name(score): score.value for score in all_scores(answers(training))}
    metrics = read_json(ObjectCache().path(training.outputs()["reports/evaluate/metrics.json"]))
    known = {row_name(one): metrics.get(one.task, {}).get(one.name.partition("/")[2]) for one in scores}
    return {name: value for name, value in (known | own).items() if value is not None}


def spreads(trainings: dict[str, dict[str, float]]) -> dict[str, dict[str, Any]]:
    """Row -> mean and standard deviation over the trainings, their number, how many were limited, and each value."""
    spread = {}
    for name in sorted({name for values in trainings.values() for name in values}):
        row = {training: values[name] for training, values in trainings.items() if name in values}
        limited = sum(kind_of(training) != "own" for training in row)
        found = {"mean": float(np.mean([*row.values()])), "sd": float(np.std([*row.values()], ddof=1))}
        if len(row) >= LEAST_TRAININGS:
            spread[name] = found | {"trainings": len(row), "limited": limited, "values": row}
    return spread


def covered(values: list[float]) -> list[bool]:
    """Whether the 95% prediction interval of the others holds each value, left out in turn."""
    hits = []
    for index, value in enumerate(values):
        others = np.delete(values, index)
        low, high = one_more(float(others.mean()), float(others.std(ddof=1)), len(others))
        hits.append(low - 1e-12 <= value <= high + 1e-12)
    return hits


def kind_of(training: str) -> str:
    """The processor that a training stands for; the workspace's is the machine's own."""
    return "AVX2 alone" if training[-1] in "02468" else "own"


def _row(row: ScoreRow) -> dict:
    """A row of the demo's table as it stands in the csv."""
    score = row.score
    rule, value = score.reference
    named = {"row": row_name(score), "value": score.value, "verdict": row.verdict_words}
    return named | {"best_rule": rule, "of_best_rule": value, "rules": score.rules}


def _beside(row: dict) -> str:
    return f"{row['row']} {row['value']:.3f}, {row['best_rule']} {row['of_best_rule']:.3f}"


def rules_seconds() -> dict[str, float]:
    """Rule -> CPU seconds for fitting it and posing it wherever the demo does; what rules share, with the first."""
    spent, params = defaultdict[str, float](float), load(ROOT / "params.yaml")

    def timed(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def called(*asked: Any, **named: Any) -> Any:
            started = time.process_time()
            said = call(*asked, **named)
            spent[name] += time.process_time() - started
            return timed(name, said) if callable(said) else said

        return called

    shipped = registry.RULES
    registry.RULES = tuple(replace(rule, fit=timed(f"{rule.form}: {rule.name}", rule.fit)) for rule in shipped)
    try:
        context = replace(context_of(ROOT), params=params.evaluate)
        for task in POSED:
            TASKS[task](context)
        base, train, heldout = (
            ROOT / name for name in ("models/pretrain/causal", "data/mix/train", "data/ingest/heldout")
        )
        Job("classify", base, train, heldout, params.finetune.classify, Numerics(), Progress())._counted()
    finally:
        registry.RULES = shipped
    return {name: round(seconds, 2) for name, seconds in sorted(spent.items())}


def measure(_: int) -> tuple[dict, list[dict], dict[str, list[dict]]]:
    """The spread of every row, the verdicts of the workspace's table, and the rules of its rows."""
    runs = [find("workspace"), *(find(name) for name in sorted(experiments()) if name.startswith("seeds-"))]
    found = answers(runs[0])
    spread = spreads({one.name: values_of(one, all_scores(found)) for one in runs})
    raw: dict[str, list[dict]] = {}
    if spread:  # else the one that ships stands
        kept = ("mean", "sd", "trainings", "limited")
        known = {name: {key: row[key] for key in kept} for name, row in spread.items()}
        write_json(SPREAD, rounded(known))
        shipped_spread.cache_clear()
        raw["trainings"] = [
            {"row": name, "training": training, "processor": kind_of(training), "value": value}
            for name, row in spread.items()
            for training, value in row["values"].items()
        ]
    table = [_row(row) for row in score_rows(found)]
    aimed = [row for row in table if row["row"] in AIMED]
    better = sorted(row["row"] for row in aimed if row["verdict"] == "better")
    hits_of = defaultdict[str, list[bool]](list)
    for row in (row["values"] for row in spread.values() if len(row["values"]) > 3):
        for training, hit in zip(row, covered([*row.values()]), strict=True):
            hits_of[training].append(hit)
    hits = [hit for of_training in hits_of.values() for hit in of_training]
    held = [row for row in table if row["verdict"]]
    alone = [row["row"] for row in table if not row["verdict"]]
    results: dict[str, Any] = {"demo_verdicts": dict(Counter(row["verdict"] for row in table))}
    results["rules_cpu_s"] = cpu_s = rules_seconds()
    results["rules_cpu_s_in_all"] = sum(cpu_s.values())
    goals = [
        goal(
            "rules_per_row_min",
            min(row["rules"] for row in held),
            LEAST_RULES,
            "higher",
            f"rules posed on a row, of the {len(held)} that say how a model compares; {len(alone)} say nothing of the "
            f"kind, as no rule has the form that is asked: {', '.join(alone)}",
        ),
        goal(
            "demo_rows_better",
            len(better),
            2,
            "higher",
            f"of four rows named: {', '.join(better) or 'none'}; in two minutes a network reads little, 256 tokens at "
            f"a time: {'; '.join(map(_beside, aimed))}",
        ),
    ]
    if hits:
        results |= {"prediction_interval_coverage": float(np.mean(hits)), "trainings": len(runs)}
        results["prediction_interval_by_training"] = figure([float(np.mean(one)) for one in hits_of.values()])
        says = (
            f"a training within the 95% prediction interval of the others, {len(hits)} cases of {len(runs)} trainings, "
            f"{sum(kind_of(one.name) != 'own' for one in runs)} of them with ATEN_CPU_CAPABILITY=avx2"
        )
        goals.append(goal("prediction_interval_coverage", float(np.mean(hits)), 0.9, "higher", says))
    return results, goals, raw | {"demo": table}

"""Tasks with a score above the best rule without a model that was tried, in runs that differ in their seeds.

Counts what `greenhouse study seeds` left in this checkout: the workspace and its experiments. A task of a model counts
once, if in two of three runs one of its scores has the lower end of its interval (of the paired gain, where there is
one) above its baseline. Baselines that are a model in another state (without steps, before tuning) never count.
"""

from collections import Counter

import yaml

from benchmarks.results import goal
from components.stages.account.score_rows import all_scores
from components.stages.account.summary import MODELS
from flows.system import paths
from flows.tracking.model_origin import collect
from flows.tracking.snapshots import Snapshot, experiments, find

SHARE = 2 / 3
"""Of the runs in which a row that counts is above."""


def rows_of(one: Snapshot) -> dict[str, str]:
    """Model and task -> the first of its scores above a baseline that needs no model; "" if none is."""
    answers = {model: collect(one, model.replace("/", "@")) for model in MODELS if model.replace("/", "@") in one.lock}
    found: dict[str, str] = {}
    for score in all_scores(answers):
        if score.baseline is not None and not score.baseline_needs_model:
            row = score.measured_by if score.is_tuned else f"{score.model}: {score.task}"
            against = f"{score.title} against {score.baseline_name}" if score.above_baseline else ""
            found[row] = found.get(row) or against
    return found


def measure(_: int) -> tuple[dict, list[dict]]:
    """Count the rows; the goal is that of the preset whose causal model has these steps."""
    runs = [find("workspace"), *(find(name) for name in sorted(experiments()) if name.startswith("seeds-"))]
    steps = runs[0].params()["pretrain"]["causal"]["steps"]
    runs = [run for run in runs if run.params()["pretrain"]["causal"]["steps"] == steps]
    large = yaml.safe_load((paths.ROOT / "presets" / "cpu-40min.yaml").read_text())["pretrain"]["common"]["steps"]
    name, wanted = ("cpu40", 8) if steps == large else ("demo", 5)
    counts: Counter[str] = Counter()
    for run in runs:
        counts.update({name: int(bool(score)) for name, score in rows_of(run).items()})
    shown = sorted(name for name, hits in counts.items() if hits >= SHARE * len(runs))
    name += "_rows_above_baseline"
    says = f"tasks above the best rule tried without a model in two thirds of {len(runs)} runs: {', '.join(shown)}"
    return {name: {"runs": len(runs), "above": dict(counts)}}, [goal(name, len(shown), wanted, "higher", says)]

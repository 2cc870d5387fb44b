"""Rows of the end table above the best rule that needs no model, in runs that differ in their seeds.

Counts what `python -m flows.seeds` left in this checkout: the workspace and its experiments. A row counts if the lower
end of its interval, of the paired gain where there is one, is above its baseline in two of three runs. Rows whose
baseline is a model in another state (without steps, before tuning) never count.
"""

from collections import Counter

import yaml

from benchmarks.results import goal
from components.stages.account.score_rows import above, score_rows
from components.stages.account.summary import MODELS, gather
from flows.system import paths
from flows.tracking.model_origin import collect, files_of
from flows.tracking.snapshots import Snapshot, experiments, find

SHARE = 2 / 3
"""Of the runs in which a row that counts is above."""


def rows_of(one: Snapshot) -> dict[str, bool]:
    """Name of a row -> whether it is above a baseline that needs no model; the first of a name."""
    answers = {model: collect(one, model.replace("/", "@")) for model in MODELS if model.replace("/", "@") in one.lock}
    found: dict[str, bool] = {}
    for row in score_rows(gather(files_of(one)), answers):
        score = row.score
        if score.baseline is not None and not score.baseline_needs_model:
            found.setdefault(f"{score.of}: {score.name}", above(score))
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
        counts.update({name: int(is_above) for name, is_above in rows_of(run).items()})
    shown = sorted(name for name, hits in counts.items() if hits >= SHARE * len(runs))
    name += "_rows_above_baseline"
    says = f"rows above the best rule that needs no model in two of three runs; {len(runs)} runs: {', '.join(shown)}"
    return {name: {"runs": len(runs), "above": dict(counts)}}, [goal(name, len(shown), wanted, "higher", says)]

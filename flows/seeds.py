"""The noise of seeds: trainings with other pretraining, fine-tuning and mixing seeds, and how far scores move."""

from pathlib import Path
from typing import Any

import numpy as np

from components import params as schema
from components.core.errors import UserError
from components.core.files import fingerprint, write_text
from components.params import Params, Seeds
from components.params.promote import RULES
from components.reporting.tables import Page, markdown_table
from components.studies.promotion_gate import Evaluation
from flows.execution.stage import Study, code_hashes
from flows.system import paths
from flows.tracking import seed_runs
from flows.tracking.snapshots import Snapshot, experiments, find

REPORTS = paths.ROOT / "reports" / "seeds"
STEP = 1009
"""Between the seeds of two trainings."""
BESIDE = {"runtime", "account", "promote"}
"""Sections that change no score."""


def reseeded(params: Params, number: int) -> Params:
    """Parameters with the seeds of training `number`: mixing, pretraining and fine-tuning."""

    def moved(section: Any) -> Any:
        return section.model_copy(update={"seed": section.seed + STEP * number})

    pretrain, finetune = params.pretrain, params.finetune
    branches = {"causal": moved(pretrain.causal), "masked": moved(pretrain.masked)}
    tuned = {name: moved(one) for name, one in finetune.stages().items()}  # keys of others would make them stages
    changed = {"pretrain": pretrain.model_copy(update=branches), "finetune": finetune.model_copy(update=tuned)}
    return params.model_copy(update=changed | {"mix": moved(params.mix)})


def run_study(name: str, params: Params, settings: Seeds) -> Path:
    """Train again with other seeds of pretraining, fine-tuning and mixing, and measure how far the scores move."""
    configured = schema.load(paths.PARAMS)
    snapshots = [trained(configured, number) for number in range(1, settings.runs + 1)]
    workspace = find("workspace")
    if seed_runs.has_items(workspace, "causal"):
        snapshots.insert(0, workspace)
    write_text(REPORTS / "report.md", markdown(snapshots))
    return REPORTS


def trained(params: Params, number: int) -> Snapshot:
    """Training `number` of these parameters: an experiment, run now unless it is finished.

    Raises `UserError`: it did not end well.
    """
    settings_hash = fingerprint([params.model_dump(mode="json", exclude=BESIDE), code_hashes()])[:8]
    name = f"seeds-{settings_hash}-{number}"
    _train(name, reseeded(params, number))
    return find(name)


def _train(name: str, params: Params) -> None:
    """One experiment, unless it is finished."""
    if name in experiments():
        print(f"{name}: finished before, read back", flush=True)
        return
    from prefect import flow

    from flows.pipeline import run_pipeline

    @flow(name="training", flow_run_name=name, log_prints=False)
    def training(params: Params) -> Any:
        """One training with other seeds, as an experiment under this run's name."""
        return run_pipeline(params, "", [])

    state: Any = training(params, return_state=True)
    if not state.is_completed() or name not in experiments():
        raise UserError(f"{name}: {state.name}: {state.message}; start it again, what is finished is read back")
    print(state.message, flush=True)


def markdown(snapshots: list[Snapshot]) -> str:
    """The seed noise of every kind of model; the runs are recorded on the way."""
    page = Page("Noise of seeds", None)
    page.add(f"Runs: {', '.join(snapshot.name for snapshot in snapshots)}.")
    last = snapshots[-1]
    for branch, stage in seed_runs.STAGES.items():
        if stage not in last.lock:
            continue
        seed_runs.record([one for one in snapshots if seed_runs.has_items(one, branch)], branch)
        name, evaluation = seed_runs.model_name(last, branch), Evaluation([], seed_runs.facts_of(last, branch))
        guards = {evaluation.items_of(guard) for rule in RULES.values() for guard in rule.guards}
        known = seed_runs.SeedRuns.of(name, seed_runs.heldout_of(last))
        scores = known.scores()[seed_runs.settings_of(last, branch)]
        values = {metric: [run[metric] for run in scores if metric in run] for metric in scores[0]}
        rows = [
            (metric, f"{np.mean(row):.4f}", f"{np.std(row, ddof=1):.4f}" if len(row) > 1 else "", len(row))
            for metric, row in values.items()
            if metric.count("/") < 2 or metric in guards
        ]
        page.add(f"## {name}", markdown_table(("score", "mean", "sd over seeds", "runs"), rows, "lrrr"))
    return page.markdown


STUDY = Study("seeds", Seeds, "The noise of seeds", run_study)

"""`greenhouse study`: work beside the pipeline that answers one question, from a terminal."""

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from components import params as schema
from flows.execution import cli
from flows.execution.study_run import study_settings
from flows.system import paths


def scaling(*settings: str, sweep: Path | None = None) -> int:
    """Predict larger runs from small ones: a sweep of sizes and compute budgets, a law, and runs that check it.

    greenhouse study scaling
    greenhouse study scaling --sweep benchmarks/scaling.yaml        larger runs (`make bench NAME=scaling`)
    greenhouse study scaling objective=masked               of masked models
    greenhouse study scaling widths=[16,32,48] optimizer.schedule=wsd

    Reads what the pipeline made (data/mix, data/ingest/heldout), tokenizes it with a small vocabulary of its own, and
    runs the cells of components/studies/scaling/sweep.py in `runtime.workers` processes. Each cell is a child run in
    MLflow. Predictions for the larger runs are in `predictions.json` before one of them begins. Killed and started
    again, it reads finished cells back and resumes the others. Results: reports/scaling/ (scaling.json, report.md,
    plots); of a masked sweep in reports/scaling-masked/, since the forecasts read the causal law.

    Args:
        settings: KEY=VALUE: settings of this run that differ from the shipped ones.
        sweep: YAML with settings that differ from the shipped ones; KEY=VALUE wins over it.
    """
    return _run("scaling", settings, schema.read_tree(sweep) if sweep else {})


def seeds(*settings: str) -> int:
    """Measure the noise of seeds: trainings with other seeds of pretraining, fine-tuning and mixing; how scores move.

    greenhouse study seeds                  three trainings at the settings of params.yaml
    greenhouse study seeds runs=5

    Each training is an experiment (`dvc exp show`): it runs apart, to the end of the graph, and leaves the workspace
    alone. Killed and started again, finished ones are read back and the one that ran resumes. The standard deviation of
    every score over the trainings (with the workspace's own, where it is finished) is the seed noise of each registered
    name on this held-out set. The gate, the comparison and the report use it; for other settings it is borrowed and
    widened.

    Args:
        settings: KEY=VALUE: settings of this run that differ from the shipped ones.
    """
    return _run("seeds", settings)


def data(*, arm: list[str], seeds: int = 3) -> int:
    """Which settings of the data make a better model: each arm beside the settings as they are, with K seeds.

    greenhouse study data --arm filter.rules=gopher --arm dedup.near=false
    greenhouse study data --arm "mix.weights={shakespeare: 0.5}" --seeds 5
    greenhouse study data --arm mix.augment=counterfactual --arm mix.augment=random

    An arm and a seed is an experiment (`dvc exp show`), one after the other: as many steps and tokens, the same
    held-out text, the whole graph. Before the first it says the smallest gain that so many seeds can show. Killed and
    started again, it reads finished ones back; those of `study seeds` count as the control's. At the end one table:
    each arm's gain with its interval over works and seeds, whether it is shown after Holm's correction over the table,
    and what its trainings took in device-hours and Wh. Arms of bias and of mix.augment are held against the control in
    bias scores too, and the swapped copies against as many repeated ones: what repeating text does is no mitigation.
    Results: reports/data_choices/report.md.

    Args:
        arm: KEY=VALUE of dedup, filter, bias, mix or tokenize; once for each arm.
        seeds: K: trainings of each arm, and of the control.
    """
    return _run("data_choices", (), {"arms": arm, "seeds": seeds})


def _run(name: str, entries: Sequence[str], base: Mapping[str, Any] = MappingProxyType({})) -> int:
    """The study of a module of flows/, with these entries over its settings; the exit status."""
    from flows.execution.pipeline_run import stop_runs
    from flows.forms import study_form

    module = importlib.import_module(f"flows.{name}")
    settings = study_settings(module.STUDY.section, entries, base)
    folder = module.reports(settings) if name == "scaling" else paths.ROOT / "reports" / name
    return cli.run(study_form(module.STUDY), folder / "report.md", stop_runs, params=settings)

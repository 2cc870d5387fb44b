"""Larger runs predicted from small ones: a sweep of sizes and compute budgets, a law, and runs that check it."""

from functools import partial
from pathlib import Path

from components.params import Params, Scaling
from flows.execution.stage import Study, code_hashes
from flows.execution.study_run import carry_out, require
from flows.system import dvc, paths


def reports(params: Scaling) -> Path:
    """Where a sweep's results go."""
    return paths.ROOT / "reports" / ("scaling" if params.objective == "causal" else f"scaling-{params.objective}")


def run_study(name: str, params: Params, settings: Scaling) -> Path:
    """Train a ladder of small models, fit a scaling law, predict larger runs, make them and compare.

    Raises:
        UserError: the pipeline's data is not there, or the sweep cannot be fitted.
    """
    from components.studies.scaling.study import ScalingStudy
    from components.studies.scaling.sweep import plan

    plan(settings)  # refuses budgets that too few widths fit
    require(("data/mix", "data/ingest/heldout"), "greenhouse run --until mix")
    chosen = {"scaling": settings, "numerics": params.numerics}
    made_from = [dvc.inputs("tokenize").hashes, code_hashes()]
    return carry_out(STUDY, name, params, chosen, made_from, partial(ScalingStudy, settings), reports(settings))


STUDY = Study("scaling", Scaling, "The law, and how it did", run_study)

"""Counterfactual augmentation: models trained with it, without it, and with as much repeated text."""

from functools import partial
from pathlib import Path

from components.params import Mitigate, Params
from flows.execution.stage import Study, code_hashes
from flows.execution.study_run import carry_out, require
from flows.system import dvc, paths

REPORTS = paths.ROOT / "reports" / "mitigate"


def run_study(name: str, params: Params, settings: Mitigate) -> Path:
    """Train models with counterfactual augmentation, without, and with random augmentation of equal size; compare.

    Raises:
        UserError: the pipeline's data is not there.
    """
    from components.studies.mitigation import MitigationTrial

    require(("data/bias/train", "data/tokenize", "data/ingest/heldout"), "greenhouse run --until tokenize")
    chosen = {"mitigate": settings, "mix": params.mix, "numerics": params.numerics}
    made_from = [code_hashes(), dvc.inputs("mix").hashes, dvc.inputs("tokenize").hashes]
    trial = partial(MitigationTrial, settings, mixing=params.mix)
    return carry_out(STUDY, name, params, chosen, made_from, trial, REPORTS)


STUDY = Study("mitigate", Mitigate, "With augmentation, without, and the control", run_study)

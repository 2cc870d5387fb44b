"""Counterfactual augmentation: models trained with it, without it, and with as much repeated text."""

from pathlib import Path

from components.params import Mitigate, Params
from flows.execution.stage import Study


def run_study(name: str, params: Params, settings: Mitigate) -> Path:
    """Train models with counterfactual augmentation, without, and with random augmentation of equal size; compare."""
    from flows.execution import mitigation_run

    return mitigation_run.run_study(STUDY, name, params, settings)


STUDY = Study("mitigate", Mitigate, "With augmentation, without, and the control", run_study)

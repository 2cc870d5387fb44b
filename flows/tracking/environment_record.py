"""Where a stage ran: the processor, Python and every package's version. It may explain why bytes differ.

Package versions are no dependencies in DVC: an upgrade does not retrain a model. They are recorded
with each run in MLflow (`made_with.json`) instead, so that `greenhouse verify` can say what was
different then.
"""

import json
import os
import platform
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from greenhouse_record.metering.counters import cpu_model

FILE = "made_with.json"


def present() -> dict[str, str]:
    """`processor`, `system`, `python`, and name -> version of every package installed here."""
    packages = sorted((package.metadata["Name"].lower(), package.version) for package in distributions())
    system = f"{platform.system()} {platform.machine()}"
    return {"processor": cpu_model(), "system": system, "python": platform.python_version()} | dict(packages)


def runs_of(mlflow: Any, stage: str, fingerprint: str) -> list[Any]:
    """Completed runs in MLflow of `stage` from inputs of that fingerprint, the newest first."""
    experiments = [experiment.experiment_id for experiment in mlflow.search_experiments()]
    wanted = f"tags.stage = '{stage}' and tags.fingerprint = '{fingerprint}' and tags.outcome = 'Completed'"
    return list(mlflow.search_runs(experiments, wanted, order_by=["attributes.start_time DESC"]))


def recorded(mlflow: Any, stage: str, fingerprint: str) -> dict[str, str]:
    """The environment of the last of these runs that has one; empty if none is known."""
    from mlflow.exceptions import MlflowException

    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    for run in runs_of(mlflow, stage, fingerprint):
        try:
            return json.loads(Path(mlflow.download_artifacts(run.info.run_id, FILE)).read_text())
        except (MlflowException, OSError):  # its artifacts were removed, or are on another host
            continue
    return {}


def differences(there: dict[str, str], here: dict[str, str]) -> list[str]:
    """One sentence for each thing that is not the same, the processor first."""
    names = [name for name in {**there, **here} if there.get(name) != here.get(name)]
    return [f"{name}: {there.get(name, 'none')} then, {here.get(name, 'none')} here" for name in names]

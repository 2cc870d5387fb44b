"""How the models of the workspace compare with their registered champions, for the cards that `account` writes.

    python -m flows.champions           compares, and keeps the result for every card of this evaluation

The registry is MLflow's, which a stage's process does not import: the pipeline's process compares before it starts
`account`, without a pipeline the stage starts this command.
"""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from components import params as schema
from components.core.errors import UserError
from components.params import Params
from components.stages.account.answers import AgainstChampion, Change, NotKnown
from components.stages.account.summary import MODELS
from components.verdicts import LEVEL
from flows.compare import differences, same_heldout
from flows.system import paths, processes
from flows.system.command import run_command
from flows.system.run_folder import own_run
from flows.tracking.mlflow_run import client
from flows.tracking.model_origin import EVALUATION, record_comparison, registered_alias, today
from flows.tracking.model_registry import registered_name
from flows.tracking.seed_runs import scores_another
from flows.tracking.snapshots import find

RECORD_S = 60.0
"""Longest wait for the record of this `dvc repro`'s models, perhaps the first of their names."""


def compare_in(root: Path) -> None:
    """Compare the models of a checkout, in a process of its own where it is not this one's."""
    if root == paths.ROOT:
        compare(schema.load(root / "params.yaml"))
    else:
        asked = [sys.executable, "-m", "flows.champions"]
        subprocess.run(asked, cwd=root, check=False, preexec_fn=processes.dies_with_parent(signal.SIGKILL))


def compare(params: Params) -> None:
    """Keep how the models of the workspace compare with their champions, for every card of this evaluation."""
    client()  # before its other modules: MLflow is imported by one thread at a time
    from mlflow.exceptions import MlflowException

    now = find("workspace") if (paths.ROOT / "dvc.lock").exists() else None
    if now is None or EVALUATION not in now.outputs():
        return
    try:
        record_comparison(now, {model: against_champion(now, model, params) for model in MODELS})
    except MlflowException as error:  # the record must not take the work down with it
        print(f"MLflow: {error}; the cards say that no champion was compared", flush=True)


def against_champion(now: Any, model: str, params: Params) -> Any:
    """How a model of the workspace compares with the registered champion of its name."""
    name = registered_name(params, *model.split("/"))
    version = registered_alias(name, "champion")
    if version is None:
        return NotKnown(not_known=f"no registered model {name} has the alias champion")
    facts: dict[str, Any] = {"champion": f"{name} version {version.version}", "compared": today()}
    if version.tags.get("fingerprint") == now.fingerprints().get(model.replace("/", "@")):
        return AgainstChampion(is_this=True, is_first=int(version.version) == 1, **facts)
    try:
        champion, branch = find(f"{name}@champion"), model.split("/")[1]
        for owner, state in (("this model's", now), (f"{facts['champion']}'s", champion)):
            if scores_another(state, branch):
                return NotKnown(not_known=f"{owner} scores are of an earlier model; run the pipeline to its end")
        if not same_heldout(champion, now):
            return NotKnown(not_known=f"{facts['champion']} was examined on another held-out set")
        compared, _ = differences(champion, now)
        rows = [row for row in compared if row.model == model]
    except UserError as error:
        return NotKnown(not_known=str(error))
    if not rows:
        return NotKnown(not_known=f"no eval task that scores both this model and {facts['champion']}")
    changes = [
        Change(
            name=row.name, champion=row.a, this=row.b, improvement=row.improvement, low=row.low, high=row.high,
            significant=row.p_files < LEVEL, by_settings=row.p_holm < LEVEL,
        )
        for row in rows
    ]  # fmt: skip
    return AgainstChampion(is_this=False, changes=changes, **facts)


def main() -> None:
    """Compare the models of this checkout."""
    deadline = time.monotonic() + RECORD_S
    while not all(stage.recorded for stage in own_run().stages() if stage.ended) and time.monotonic() < deadline:
        time.sleep(0.2)
    compare(schema.load(paths.PARAMS))


if __name__ == "__main__":
    run_command("champions", main)

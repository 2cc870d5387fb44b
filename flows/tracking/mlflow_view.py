"""Pages of MLflow that are worth a link: the runs with quality in view, and the last run beside the one before.

MLflow's page keeps a shared view (what its Share button makes) as a tag of the experiment, and
opens it by its key.
"""

import json
from collections.abc import Callable
from typing import Any

VIEW = "quality"
COLUMNS = {
    "attributes.`Run Name`": 130, "runDateAndNestInfo": 130,
    "tags.`changed`": 117, "tags.`primary`": 138, "tags.`cost`": 110, "tags.`result`": 323, "duration": 80,
}  # fmt: skip
"""Columns of the view in their order, as MLflow calls them -> width in pixels.

What a run changed, its score, its energy beside that of all stages behind its models, how it
compares or ended: at 1280 pixels the first three are whole beside MLflow's Assistant, which leaves
them 698 of 1,026.
"""
PARENTS = "tags.run LIKE '%'"
"""Parent runs, as MLflow's search has it."""
FINISHED = f"{PARENTS} AND attributes.status = 'FINISHED'"
"""Those that came to their end."""
TRAINING = "workflowType=machine_learning"
"""Without it the experiment opens in the view for agents."""


def store_view(mlflow: Any, experiment: str) -> None:
    """Keep the view `VIEW` of an experiment: all parent runs, newest first, each with what it changed."""
    state = {
        "searchFilter": PARENTS,
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
        "selectedColumns": [name for name in COLUMNS if name.startswith("tags.")],
        "columnOrder": list(COLUMNS),
        "columnWidths": COLUMNS,
    }
    mlflow.set_experiment_tag(experiment, f"mlflow.sharedViewState.{VIEW}", json.dumps(state))


def run_page(url: str, experiment: str, run: str) -> str:
    """Address of a run on a running MLflow server."""
    return f"{url}/#/experiments/{experiment}/runs/{run}?{TRAINING}"


def links(mlflow: Any, experiment: Callable[[Any], str], url: str) -> dict[str, str]:
    """Addresses on a running MLflow server: `runs`, and `compare` once there are two runs, the older one first.

    Args:
        experiment: gives the id of the project's experiment, into which the view is stored.
    """
    try:
        number, newest = experiment(mlflow), ["attributes.start_time DESC"]
        store_view(mlflow, number)  # as this version has it
        runs = mlflow.search_runs([number], FINISHED, max_results=2, order_by=newest)
    except Exception:  # a server of others may fail in any way, which is no reason to stop what runs
        return {"runs": url}
    pages = {"runs": f"{url}/#/experiments/{number}/runs?{TRAINING}&viewStateShareKey={VIEW}"}
    if len(runs) == 2:
        names = json.dumps([run.info.run_id for run in reversed(runs)], separators=(",", ":"))
        pages["compare"] = f'{url}/#/compare-runs?runs={names}&experiments=["{number}"]&{TRAINING}'.replace('"', "%22")
    return pages

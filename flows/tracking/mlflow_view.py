"""Pages of MLflow that are worth a link: the runs with quality in view, and the last run beside the one before.

MLflow's page keeps a shared view (what its Share button makes) as a tag of the experiment, and opens it by its key.
"""

import json
from collections.abc import Iterable
from typing import Any

from flows.system.login import mlflow_login
from flows.system.paths import EXPERIMENT

VIEW = "quality"
FINISHED = "tags.run LIKE '%' AND attributes.status = 'FINISHED'"
"""Parent runs that came to their end, as MLflow's search has it."""
TRAINING = "workflowType=machine_learning"
"""Without it the experiment opens in the view for agents."""


def store_view(mlflow: Any, experiment: str, metrics: Iterable[str]) -> None:
    """Keep the view `VIEW` of an experiment: its finished parent runs, newest first, quality before cost."""
    state = {
        "searchFilter": FINISHED,
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
        "selectedColumns": [f"metrics.`{name}`" for name in sorted(metrics)],
    }
    mlflow.set_experiment_tag(experiment, f"mlflow.sharedViewState.{VIEW}", json.dumps(state))


def run_page(url: str, experiment: str, run: str) -> str:
    """Address of a run on a running MLflow server."""
    return f"{url}/#/experiments/{experiment}/runs/{run}?{TRAINING}"


def links(url: str) -> dict[str, str]:
    """Addresses on a running MLflow server: `runs`, and `compare` once there are two runs, the older one first."""
    import httpx

    try:
        query, asked = {"experiment_name": EXPERIMENT}, f"{url}/api/2.0/mlflow"
        answer = httpx.get(f"{asked}/experiments/get-by-name", params=query, auth=mlflow_login(), timeout=10).json()
        experiment = answer.get("experiment", {})
        if not (number := experiment.get("experiment_id")):  # none yet before the first run
            return {"runs": f"{url}/#/experiments?{TRAINING}"}
        wanted = {"experiment_ids": [number], "filter": FINISHED, "max_results": 2}
        wanted["order_by"] = ["attributes.start_time DESC"]
        found = httpx.post(f"{asked}/runs/search", json=wanted, auth=mlflow_login(), timeout=10).json().get("runs", [])
    except (httpx.HTTPError, ValueError):  # a team's server behind a login of another kind
        return {"runs": url}
    stored = any(tag["key"].endswith(f".{VIEW}") for tag in experiment.get("tags", []))
    view = f"&viewStateShareKey={VIEW}" if stored else ""
    pages = {"runs": f"{url}/#/experiments/{number}/runs?{TRAINING}{view}"}
    if len(found) == 2:
        names = json.dumps([run["info"]["run_id"] for run in reversed(found)], separators=(",", ":"))
        pages["compare"] = f'{url}/#/compare-runs?runs={names}&experiments=["{number}"]&{TRAINING}'.replace('"', "%22")
    return pages

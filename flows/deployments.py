"""Serve the pipeline and every stage as Prefect deployments with typed forms.

    python -m flows.deployments        (`make up` starts it beside the servers)

The forms are filled from params.yaml and follow it within seconds. Each carries the hash of the values it was filled
from: a form that was open while params.yaml changed is refused when it is sent, with what to do. One run at a time.
"""

import logging
import signal
import sys
import threading
import time
from typing import Any
from uuid import UUID

from httpx import HTTPError
from prefect import serve
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentUpdate
from prefect.deployments.runner import EntrypointType, RunnerDeployment
from prefect.exceptions import ObjectNotFound

from components import params as schema
from components.core.errors import UserError
from components.params import Params
from flows.execution.form import PipelineForm, params_hash
from flows.forms import STUDIES, form_names, form_of, settings_of
from flows.pipeline import pipeline
from flows.system import paths
from flows.system.command import run_command
from flows.tracking import recovery

FOLLOW_S = 2.0
"""Seconds between looks at params.yaml."""


def defaults(name: str, params: Params) -> dict[str, Any]:
    """Values that the form of a deployment is filled with."""
    values = PipelineForm.filled(params) if name == "pipeline" else settings_of(name, params)
    return {"params": values.model_dump(mode="json"), "params_hash": params_hash(params)}


def deployment_name(name: str) -> str:
    """Name of a form's deployment: Prefect lists them from A to Z, ten a page, and `pipeline` shall come first."""
    return name if name == "pipeline" else f"{'study' if name in STUDIES else 'stage'}-{name}"


def deployments(params: Params) -> list[RunnerDeployment]:
    """One per stage, the pipeline's last (`follow` looks at it alone).

    By module: a flow of a form is made when it is asked for.
    """
    flows = {name: form_of(name) for name in form_names()} | {"pipeline": pipeline}
    return [
        flow.to_deployment(
            deployment_name(name), parameters=defaults(name, params), concurrency_limit=1, tags=["greenhouse"],
            description=flow.description, entrypoint_type=EntrypointType.MODULE_PATH,
        )
        for name, flow in flows.items()
    ]  # fmt: skip


def retire() -> None:
    """Remove deployments of an earlier version, whose names were others."""
    wanted = {deployment_name(name) for name in [*form_names(), "pipeline"]}
    with get_client(sync_client=True) as client:
        for one in client.read_deployments():
            if "greenhouse" in one.tags and one.name not in wanted:
                client.delete_deployment(one.id)


def follow() -> None:
    """Keep the forms filled with params.yaml as it is (on a thread); a broken one leaves them as they are.

    What is in the forms is asked of the server: `serve` registers them with the values of its start, which may come
    after a change.
    """
    while True:
        time.sleep(FOLLOW_S)
        try:
            if _refill(schema.load(paths.PARAMS)):
                print("serve: params.yaml changed, forms refilled", flush=True)
        except UserError as error:
            print(f"serve: {error}; the forms keep their values", flush=True)
        except (ObjectNotFound, HTTPError) as error:  # not registered yet, or the server is busy
            print(f"serve: forms not refilled yet ({type(error).__name__}); trying again", flush=True)


def _refill(params: Params) -> bool:
    """Give every form these values, if the pipeline's, the last to be refilled, has others. Whether it had."""
    with get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name("pipeline/pipeline")
        if deployment.parameters.get("params_hash") == params_hash(params):
            return False
        for name in [*form_names(), "pipeline"]:
            deployment = client.read_deployment_by_name(f"{name}/{deployment_name(name)}")
            update = DeploymentUpdate(parameters=defaults(name, params))
            client.update_deployment(UUID(str(deployment.id)), update)
    return True


def main() -> None:
    """Serve until stopped. With `--alone` nobody else serves this Prefect: runs that never began are closed."""
    alone = sys.argv[1:] == ["--alone"]
    params = schema.load(paths.PARAMS)
    recovery.recover(serving=alone)  # a run that a kill left open would hold its deployment's only slot
    logging.getLogger("prefect").setLevel(logging.WARNING)
    if alone:
        retire()
    threading.Thread(target=follow, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print("serve: deployments are ready", flush=True)
    serve(*deployments(params), pause_on_shutdown=False, print_starting_message=False)


if __name__ == "__main__":
    run_command("serve", main)

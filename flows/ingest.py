"""The ingest stage as a Prefect flow; `python -m flows.ingest` has DVC reproduce it."""

import tempfile
from pathlib import Path

from components.core.progress import Progress
from components.core.report import Report
from components.params import Ingest, Params
from flows.execution.stage import Place, Stage
from flows.execution.stage_process import State, flow, main, run_as_flow
from flows.system import paths


def call(place: Place, branch: str) -> Report:
    """Run the stage function on the stage's inputs."""
    from components.stages.ingest.stage import ingest as ingest_sources

    return ingest_sources(root=place.root, params=place.params.ingest, **place.data)


def dry_run(params: Params) -> str:
    """What the sources hold: counts, what would be left out and why, a few documents."""
    from components.stages.ingest.stage import dry_run as read_only

    with tempfile.TemporaryDirectory() as work:
        found = read_only(
            root=paths.ROOT, params=params.ingest, work=Path(work), workers=params.runtime.workers, progress=Progress()
        )
    return found.markdown


STAGE = Stage("ingest", call, dry_run=dry_run)


@flow(name="ingest")
def ingest(params: Ingest | None = None, params_hash: str = "") -> State:
    """Read the sources, keep provenance, quarantine bad records, cut the held-out set by group.

    Args:
        params: the stage's section of params.yaml; changed values make an experiment.
        params_hash: leave it as it is: it shows which params.yaml the form was filled from.
    """
    return run_as_flow(STAGE, "", params, params_hash)


if __name__ == "__main__":
    main(STAGE, ingest)

"""The filter stage as a Prefect flow; `python -m flows.filter` has DVC reproduce it."""

from components.core.report import Report
from components.params import Filter, Params
from flows.execution.stage import Place, Stage
from flows.execution.stage_process import State, flow, main, run_as_flow
from flows.system import paths


def call(place: Place, branch: str) -> Report:
    """Run the stage function on the stage's inputs."""
    from components.stages.filter.stage import filter_corpus

    return filter_corpus(
        train=place.root / "data/dedup/train",
        params=place.params.filter,
        heldout=place.root / "data/ingest/heldout",
        items=place.root / place.params.filter.decontaminate.items,
        **place.data,
    )


def dry_run(params: Params) -> str:
    """Rule by rule, what the limits would drop of the corpus that lies there, with examples; personal data."""
    from components.stages.filter.dry_run import dry_run as would_drop

    return would_drop(
        paths.ROOT / "data/dedup/train",
        params.filter,
        params.runtime.workers,
        heldout=paths.ROOT / "data/ingest/heldout",
        items=paths.ROOT / params.filter.decontaminate.items,
    )


STAGE = Stage("filter", call, dry_run=dry_run)


@flow(name="filter")
def filter_flow(params: Filter | None = None, params_hash: str = "") -> State:
    """Score every document, drop what lies outside the limits, redact personal data.

    Args:
        params: the stage's section of params.yaml; changed values make an experiment.
        params_hash: leave it as it is: it shows which params.yaml the form was filled from.
    """
    return run_as_flow(STAGE, "", params, params_hash)


if __name__ == "__main__":
    main(STAGE, filter_flow)

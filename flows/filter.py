"""The filter stage as a Prefect flow; `python -m flows.filter` has DVC reproduce it."""

from components.params import Filter, Params
from components.report import Report
from flows import house
from flows.process import State, flow, main, run_as_flow
from flows.stage import Place, Stage


def call(place: Place, branch: str) -> Report:
    """Run the stage function on the stage's inputs."""
    from components.data.filter import filter_corpus

    return filter_corpus(
        train=place.root / "data/dedup/train",
        params=place.params.filter,
        heldout=place.root / "data/ingest/heldout",
        items=place.root / place.params.filter.decontaminate.items,
        **place.data,
    )


def dry_run(params: Params) -> str:
    """Rule by rule, what the limits would drop of the corpus that lies there, with examples; personal data."""
    from components.data.filter_dry_run import dry_run as would_drop

    return would_drop(
        house.ROOT / "data/dedup/train",
        params.filter,
        params.runtime.workers,
        heldout=house.ROOT / "data/ingest/heldout",
        items=house.ROOT / params.filter.decontaminate.items,
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

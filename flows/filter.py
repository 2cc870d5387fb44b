"""The filter stage as a Prefect flow; `python -m flows.filter` has DVC reproduce it."""

from prefect import flow
from prefect.states import State

from components.params import Filter
from components.report import Report
from flows.stage import Place, Stage, main, run_as_flow


def call(place: Place, branch: str) -> Report:
    """Run the stage function on the stage's inputs."""
    from components.data.filter import filter_corpus

    return filter_corpus(train=place.root / "data/dedup/train", params=place.params.filter, **place.data)


STAGE = Stage("filter", call)


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

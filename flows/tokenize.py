"""The tokenize stage as a Prefect flow; `python -m flows.tokenize` has DVC reproduce it."""

from components.core.report import Report
from components.params import Tokenize
from flows.execution.stage import Place, Stage
from flows.execution.stage_process import State, flow, main, run_as_flow


def call(place: Place, branch: str) -> Report:
    """Run the stage function on the stage's inputs."""
    from components.stages.tokenize.stage import tokenize as encode

    return encode(
        train=place.root / "data/mix/train",
        heldout=place.root / "data/ingest/heldout",
        params=place.params.tokenize,
        workers=place.params.runtime.workers,  # threads
        **place.common,
    )


STAGE = Stage("tokenize", call)


@flow(name="tokenize")
def tokenize(params: Tokenize | None = None, params_hash: str = "") -> State:
    """Train a byte-level BPE and encode the corpus into memory-mapped shards.

    Args:
        params: the stage's section of params.yaml; changed values make an experiment.
        params_hash: leave it as it is: it shows which params.yaml the form was filled from.
    """
    return run_as_flow(STAGE, "", params, params_hash)


if __name__ == "__main__":
    main(STAGE, tokenize)

"""The bias stage as a Prefect flow; `python -m flows.bias` has DVC reproduce it."""

from components.core.report import Report
from components.params import Bias
from flows.execution.stage import Place, Stage
from flows.execution.stage_process import State, flow, main, run_as_flow


def call(place: Place, branch: str) -> Report:
    """Run the stage function on the stage's inputs."""
    from components.stages.bias.stage import filter_bias

    return filter_bias(train=place.root / "data/filter/train", params=place.params.bias, **place.data)


STAGE = Stage("bias", call)


@flow(name="bias")
def bias(params: Bias | None = None, params_hash: str = "") -> State:
    """Measure mentions and toxicity per group and source, filter on masked scores, audit the filter.

    Args:
        params: the stage's section of params.yaml; changed values make an experiment.
        params_hash: leave it as it is: it shows which params.yaml the form was filled from.
    """
    return run_as_flow(STAGE, "", params, params_hash)


if __name__ == "__main__":
    main(STAGE, bias)

"""The pretrain stage as a Prefect flow; `python -m flows.pretrain` has DVC reproduce it."""

from typing import Literal

from components.core.report import Report
from components.params import PretrainBranches
from flows.execution.stage import Place, Stage
from flows.execution.stage_process import State, flow, main, run_as_flow


def call(place: Place, branch: Literal["causal", "masked"]) -> Report:
    """Run the stage function on the stage's inputs."""
    from components.stages.pretrain.stage import pretrain as train_model

    return train_model(
        objective=branch,
        tokens=place.root / "data/tokenize",
        params=getattr(place.params.pretrain, branch),
        numerics=place.params.numerics,
        **place.common,
    )


STAGE = Stage("pretrain", call, folder="models", branches=("causal", "masked"))


@flow(name="pretrain")
def pretrain(
    branch: Literal["causal", "masked", "all"] = "all", params: PretrainBranches | None = None, params_hash: str = ""
) -> State:
    """Pretrain the causal and the masked model on the same tokens.

    Args:
        branch: which of the stage's branches; `all` for each.
        params: the stage's section of params.yaml; changed values make an experiment.
        params_hash: leave it as it is: it shows which params.yaml the form was filled from.
    """
    return run_as_flow(STAGE, branch, params, params_hash)


if __name__ == "__main__":
    main(STAGE, pretrain)

"""The finetune stage as a Prefect flow; `python -m flows.finetune` has DVC reproduce it."""

from typing import Literal

from components.core.report import Report
from components.params import FinetuneBranches
from flows.execution.stage import Place, Stage
from flows.execution.stage_process import State, flow, main, run_as_flow

BASE = {"instruct": "causal", "classify": "masked"}
"""Which pretrained model each branch starts from."""


def call(place: Place, branch: Literal["instruct", "classify"]) -> Report:
    """Run the stage function on the stage's inputs."""
    from components.stages.finetune.stage import finetune as tune

    return tune(
        branch=branch,
        base=place.root / "models/pretrain" / BASE[branch],
        train=place.root / "data/bias/train",
        heldout=place.root / "data/ingest/heldout",
        params=getattr(place.params.finetune, branch),
        numerics=place.params.numerics,
        **place.common,
    )


STAGE = Stage("finetune", call, folder="models", branches=tuple(BASE))


@flow(name="finetune")
def finetune(
    branch: Literal["instruct", "classify", "all"] = "all",
    params: FinetuneBranches | None = None,
    params_hash: str = "",
) -> State:
    """Fine-tune: instructions on the causal model, classification on the masked one.

    Args:
        branch: which of the stage's branches; `all` for each.
        params: the stage's section of params.yaml; changed values make an experiment.
        params_hash: leave it as it is: it shows which params.yaml the form was filled from.
    """
    return run_as_flow(STAGE, branch, params, params_hash)


if __name__ == "__main__":
    main(STAGE, finetune)

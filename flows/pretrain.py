"""The pretrain stage; `python -m flows.pretrain` has DVC reproduce it."""

from typing import Literal

from components.core.report import Report
from components.params import PretrainBranches
from flows.execution.stage import Stage, StageContext, place_of
from flows.execution.stage_process import run_stage


def call(context: StageContext, branch: Literal["causal", "masked"]) -> Report:
    """Pretrain the causal and the masked model on the same tokens."""
    from components.core.files import move
    from components.stages.pretrain.stage import pretrain as train_model

    report = train_model(
        objective=branch,
        tokens=context.root / "data/tokenize",
        params=getattr(context.params.pretrain, branch),
        numerics=context.params.numerics,
        kept=context.work / "kept",
        place=place_of(context.params.runtime),
        **context.common,
    )
    move(context.work / "kept", context.root / "models" / "checkpoints" / branch)
    return report


STAGE = Stage("pretrain", PretrainBranches, call, folder="models", branches=("causal", "masked"))


if __name__ == "__main__":
    run_stage(STAGE)

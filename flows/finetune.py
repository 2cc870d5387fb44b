"""The finetune stage; `python -m flows.finetune` has DVC reproduce it."""

from typing import get_args

from components.core.report import Report
from components.params import Branch, FinetuneBranches
from flows.execution.stage import Stage, StageContext, place_of
from flows.execution.stage_process import run_stage


def call(context: StageContext, branch: Branch) -> Report:
    """Fine-tune: instructions, classification, preferences, rewards."""
    from components.stages.finetune.stage import finetune as tune

    params = getattr(context.params.finetune, branch)
    return tune(
        branch=branch,
        base=context.root / params.base,
        train=context.root / params.data,
        heldout=context.root / "data/ingest/heldout",
        params=params,
        numerics=context.params.numerics,
        place=place_of(context.params.runtime),
        **context.common,
    )


STAGE = Stage("finetune", FinetuneBranches, call, folder="models", branches=get_args(Branch))


if __name__ == "__main__":
    run_stage(STAGE)

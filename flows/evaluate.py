"""The evaluate stage; `python -m flows.evaluate` has DVC reproduce it."""

import shutil
from pathlib import Path

from components.core.report import Report
from components.params import FURTHER, Evaluate
from flows.execution.stage import Stage, StageContext
from flows.execution.stage_process import run_stage


def call(context: StageContext, branch: str) -> Report:
    """Score the models, each score beside the best trivial rule on the same items."""
    from components.stages.evaluate.stage import evaluate as examine
    from components.stages.evaluate.tasks.task import Tuned

    models, stages = context.root / "models", context.params.finetune.stages()
    for gone in set(FURTHER) - set(stages):
        remove(context.root, gone)
    return examine(
        causal=models / "pretrain/causal",
        masked=models / "pretrain/masked",
        instruct=models / "finetune/instruct",
        classify=models / "finetune/classify",
        further={
            name: Tuned(models / "finetune" / name, context.root / stages[name].base)
            for name in FURTHER
            if name in stages
        },
        mix=context.root / "data/mix",
        heldout=context.root / "data/ingest/heldout",
        tokens=context.root / "data/tokenize",
        params=context.params.evaluate,
        numerics=context.params.numerics,
        reports=context.reports,
        work=context.work,
        workers=context.params.runtime.workers,
        progress=context.progress,
    )


def remove(root: Path, branch: str) -> None:
    """Remove what a branch of fine-tuning left before params.yaml lost it: DVC would leave it among our inputs."""
    for folder in (f"models/finetune/{branch}", f"reports/finetune/{branch}"):
        shutil.rmtree(root / folder, ignore_errors=True)


STAGE = Stage("evaluate", Evaluate, call, folder="")


if __name__ == "__main__":
    run_stage(STAGE)

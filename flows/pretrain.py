"""The pretrain stage; `python -m flows.pretrain` has DVC reproduce it.

torchrun starts it on several machines too, which see one project folder, on each with its own `--node-rank`:

    torchrun --nnodes 2 --node-rank 0 --master-addr HOST --master-port 29500 -m flows.pretrain causal

The first process runs the stage; `numerics.processes` must be the number of all.
"""

import os
from typing import Literal

from components import params as schema
from components.core.report import Report
from components.params import PretrainBranches
from flows.execution.stage import Stage, StageContext, place_of
from flows.execution.stage_process import run_stage
from flows.system import dvc, paths
from flows.system.command import parser_of, run_command


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


def train_along() -> None:
    """Take part in the training of a stage that torchrun's first process runs; judge and write nothing."""
    parser = parser_of(STAGE.name, STAGE.description)
    parser.add_argument("branch", choices=STAGE.branches)
    branch = parser.parse_args().branch
    name = STAGE.full_name(branch)
    if name not in dvc.stale():
        print(f"{name}: dvc.lock has it of these inputs; nothing to train")
        return
    work, params = paths.WORK / name / dvc.inputs(name).fingerprint, schema.load(paths.ROOT / "params.yaml")
    from components.stages.pretrain.stage import pretrain as train_model

    train_model(
        objective=branch,
        tokens=paths.ROOT / "data/tokenize",
        params=getattr(params.pretrain, branch),
        numerics=params.numerics,
        out=work / "out",
        reports=work / "reports",
        work=work,
    )


if __name__ == "__main__":
    if os.environ.get("RANK", "0") != "0":  # torchrun's
        run_command(STAGE.name, train_along)
    else:
        run_stage(STAGE)

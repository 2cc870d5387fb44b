"""The pretrain stage; `python -m flows.pretrain` has DVC reproduce it.

torchrun starts it on several machines too, which see one project folder, on each with its own `--node-rank`:

    torchrun --nnodes 2 --node-rank 0 --master-addr HOST --master-port 29500 -m flows.pretrain causal

The first process runs the stage; `numerics.processes` must be the number of all.
"""

import os
import subprocess
import time
from typing import TYPE_CHECKING, Literal

from components import params as schema
from components.core.errors import UserError
from components.core.report import Report
from components.params import PretrainBranches
from flows.execution.stage import Stage, StageContext, place_of
from flows.execution.stage_process import run_stage
from flows.system import dvc, paths, processes
from flows.system.command import parser_of, run_command

if TYPE_CHECKING:
    from torch.distributed import Store

UNDER_TORCHRUN = "TORCHELASTIC_RUN_ID" in os.environ
NOTHING = "nothing to train"


def call(context: StageContext, branch: Literal["causal", "masked"]) -> Report:
    """Pretrain the causal and the masked model on the same tokens."""
    from components.core.files import move
    from components.stages.pretrain.stage import pretrain as train_model

    if UNDER_TORCHRUN:
        _store().set(STAGE.full_name(branch), context.work.name)
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


def lead() -> int:
    """As torchrun's first process, have DVC reproduce the stage, and let the others go if it did not need to."""
    branch = _branch()
    name = STAGE.full_name(branch)
    status = subprocess.run(
        dvc.command("repro", "--single-item", name), preexec_fn=processes.dies_with_parent()
    ).returncode
    if not status and not (store := _store()).check([name]):
        store.set(name, NOTHING)
    return status


def train_along() -> None:
    """As another process, take part in the training when the first one begins it; judge and write nothing."""
    branch = _branch()
    name, store, params = STAGE.full_name(branch), _store(), schema.load(paths.ROOT / "params.yaml")
    try:
        while not store.check([name]):  # the first asks DVC, and may wait for its turn or for clean energy
            time.sleep(0.5)
        said = store.get(name).decode()
    except RuntimeError as error:
        raise UserError(f"torchrun's first process ended before it began to train ({error})") from None
    if said == NOTHING:
        print(f"{name}: dvc.lock has it of these inputs; {NOTHING}")
        return
    from components.stages.pretrain.stage import pretrain as train_model

    work = paths.WORK / name / said
    train_model(
        objective=branch,
        tokens=paths.ROOT / "data/tokenize",
        params=getattr(params.pretrain, branch),
        numerics=params.numerics,
        out=work / "out",
        reports=work / "reports",
        work=work,
    )


def _branch() -> Literal["causal", "masked"]:
    parser = parser_of(STAGE.name, STAGE.description)
    parser.add_argument("branch", choices=STAGE.branches)
    return parser.parse_args().branch


def _store() -> "Store":
    """The keys and values that torchrun's first machine holds for all its processes; those of this start of them."""
    from torch.distributed import PrefixStore, TCPStore

    store = TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False)
    return PrefixStore(f"greenhouse/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)


if __name__ == "__main__":
    if UNDER_TORCHRUN and os.environ["RANK"] != "0":
        run_command(STAGE.name, train_along)
    elif UNDER_TORCHRUN and "DVC_STAGE" not in os.environ:
        run_command(STAGE.name, lead)
    else:
        run_stage(STAGE)

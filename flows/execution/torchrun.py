"""Pretraining on several machines that see one project folder: torchrun starts the stage's processes on each.

    torchrun --nnodes 2 --node-rank 0 --master-addr HOST --master-port 29500 -m flows.stage pretrain causal

The first process has DVC reproduce the stage, which runs in a process below it; the others take part in its training
when that begins. `numerics.processes` must be the number of all.
"""

import os
import subprocess
import time
from typing import TYPE_CHECKING, NoReturn

from components import params as schema
from components.core.errors import UserError
from flows.system import dvc, paths, processes
from flows.system.command import run_command

if TYPE_CHECKING:
    from torch.distributed import Store

UNDER_TORCHRUN = "TORCHELASTIC_RUN_ID" in os.environ
NOTHING = "nothing to train"


def begin(name: str, fingerprint: str) -> None:
    """Tell the other processes that the stage begins, and in which work folder."""
    _store().set(name, fingerprint)


def run(branch: str) -> NoReturn:
    """The part of this process in the training of a branch."""
    name = f"pretrain@{branch}"
    run_command(name, lambda: lead(name) if os.environ["RANK"] == "0" else train_along(name, branch))


def lead(name: str) -> int:
    """As torchrun's first process, have DVC reproduce the stage, and let the others go if it did not need to."""
    command = dvc.command("repro", "--single-item", name)
    status = subprocess.run(command, preexec_fn=processes.dies_with_parent()).returncode
    if not status and not (store := _store()).check([name]):
        store.set(name, NOTHING)
    return status


def train_along(name: str, branch: str) -> None:
    """As another process, take part in the training when the first one begins it; judge and write nothing."""
    store, params = _store(), schema.load(paths.PARAMS)
    try:
        while not store.check([name]):  # the first asks DVC, and may wait for its turn or for clean energy
            time.sleep(0.5)
        message = store.get(name).decode()
    except RuntimeError as error:
        raise UserError(f"torchrun's first process ended before it began to train ({error})") from None
    if message == NOTHING:
        print(f"{name}: dvc.lock has it of these inputs; {NOTHING}")
        return
    from components.stages.pretrain.stage import pretrain as train_model

    work = paths.WORK / name / message
    train_model(
        objective="causal" if branch == "causal" else "masked",
        tokens=paths.ROOT / "data/tokenize",
        params=getattr(params.pretrain, branch),
        numerics=params.numerics,
        out=work / "out",
        reports=work / "reports",
        work=work,
    )


def _store() -> "Store":
    """The keys and values that torchrun's first machine holds for all its processes; those of this start of them."""
    from torch.distributed import PrefixStore, TCPStore

    store = TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False)
    return PrefixStore(f"greenhouse/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)

"""Two processes train as one does."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
import torch
import torch.distributed as dist
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from components.core.progress import Progress
from components.model import export
from components.params import Numerics, Optimizer
from components.stages.pretrain.stage import pretrain
from components.training import data_parallel
from components.training.loop import Trainer
from components.training.objectives import language_model_loss
from tests.components.small_corpus import small, write_tokens
from tests.components.training.test_loop import SETTINGS, batches, network
from tests.errors import refused, shows


def test_a_worker_lost_while_it_starts_is_found_at_once(tmp_path: Path) -> None:
    started = time.monotonic()
    with (
        refused("data_parallel._raise_if_lost", "1 of 2", "status 3"),
        data_parallel.process_group(Numerics(processes=2), tmp_path, ["-c", "raise SystemExit(3)"]),
    ):
        pass
    assert time.monotonic() - started < 30


PROGRAM = """
import os, sys, time
from datetime import timedelta
from pathlib import Path
import torch
from components.params import Numerics
from components.training import data_parallel
data_parallel.{limits}
with data_parallel.process_group(Numerics(processes=2), Path(sys.argv[1]), ["-c", sys.argv[2], *sys.argv[1:]]) as group:
"""
WAITS = """    group.on_main(lambda: time.sleep(8))
    rank = torch.tensor([float(group.rank)])
    group.all_reduce([rank])
    if group.is_main:
        print(float(rank))
"""


def of_two_processes(limits: str, body: str, folder: Path, torchrun: bool = False) -> subprocess.CompletedProcess:
    """What a program says that both run, and which rank 0 or torchrun starts."""
    root = str(Path(data_parallel.__file__).parents[2])
    program = PROGRAM.format(limits=limits) + body
    (folder / "program.py").write_text(program)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"] if torchrun else []
    command = [sys.executable, *launcher, str(folder / "program.py"), str(folder / "work"), program]
    return subprocess.run(command, env=os.environ | {"PYTHONPATH": root}, capture_output=True, text=True)


@pytest.mark.long
def test_what_one_process_does_alone_may_take_longer_than_the_others_would_wait(tmp_path: Path) -> None:
    done = of_two_processes("TIMEOUT, data_parallel.CALL_S = timedelta(seconds=4), 1.0", WAITS, tmp_path)
    assert done.stdout == "1.0\n", done.stderr


HANGS = """    import psutil, signal
    signal.signal(signal.SIGTERM, lambda *_: None)  # as in a stage; it is not called while the exchange waits
    starter = os.getppid()
    if group.rank and os.fork():  # the child holds the connections, so that the exchange never fails
        os._exit(3)
    if group.rank:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1), os.dup2(1, 2)
        Path(sys.argv[1], "lost").touch()
        while psutil.pid_exists(starter):
            time.sleep(0.1)
        os._exit(0)
    group.all_reduce([torch.ones(1)])
"""


@pytest.mark.parametrize("torchrun", [False, pytest.param(True, marks=pytest.mark.long)])
def test_an_exchange_that_never_fails_is_ended_when_a_worker_is_lost(torchrun: bool, tmp_path: Path) -> None:
    """As over NCCL, which waits for minutes and then aborts without a word."""
    done = of_two_processes("GRACE_S", HANGS, tmp_path, torchrun)  # as shipped
    assert time.time() - (tmp_path / "work/lost").stat().st_mtime < 30
    assert done.returncode == 1
    said = next(line for line in done.stderr.splitlines() if "training process" in line)
    shows(said, "train_together", "1 of 2", *([] if torchrun else ["status 3"]))


STOPS = """    from components.core.errors import Stopped
    from components.training import checkpoint, loop
    from tests.components.training.test_loop import SETTINGS, batches, language_model_loss, network
    from tests.progress_recorder import stops_at
    given = SETTINGS, Path(sys.argv[1]), stops_at(3) if group.rank else None
    try:
        loop.train(network(), batches, language_model_loss, *given, numerics=Numerics(processes=2), group=group)
    except Stopped as stopped:
        print(*[checkpoint.steps(given[1]), stopped] * group.is_main, end="")
"""


def test_all_stop_after_the_step_in_which_one_was_asked_to(tmp_path: Path) -> None:
    done = of_two_processes("GRACE_S", STOPS, tmp_path)
    assert done.stdout == "[3, 0] another process of this training was stopped", done.stderr


class Exchanges(TorchDispatchMode):
    """Bytes of each exchange between processes, and how often a tensor was asked for its value."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[int] = []
        self.waits = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.waits += func._opname == "_local_scalar_dense"
        if func.namespace == "c10d":
            self.sent.append(sum(one.nbytes for one in tree_leaves(args) if isinstance(one, torch.Tensor)))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("ranks", [8, 64])
def test_a_step_of_many_exchanges_each_gradient_once_and_waits_once(
    ranks: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = MagicMock(side_effect=torch.Tensor.tolist)
    dist.init_process_group("fake", store=FakeStore(), rank=1, world_size=ranks)
    try:
        model, group = network(), data_parallel.ProcessGroup(1, ranks)
        run = Trainer(model, batches, language_model_loss, SETTINGS, tmp_path, Progress(), Numerics(), group)
        monkeypatch.setattr(torch.Tensor, "tolist", lambda tensor: listed(tensor))
        with Exchanges() as exchanges:
            run.train_step()
    finally:
        dist.destroy_process_group()
    gradients = 4 * model.num_parameters
    assert exchanges.sent == [4, 4 + 4 + gradients], "targets; the loss, whether one must stop, and gradients"
    assert (exchanges.waits, listed.call_count) == (0, 1)


def trained(tokens: Path, place: Path, name: str, **numerics: int) -> list[float]:
    """Losses of eight steps in float32."""
    rates = {"matrix_lr": 0.003, "embedding_lr": 0.003} if name == "adamw" else {}
    optimizer = Optimizer(name=name, **rates)
    pretrain(
        objective="causal",
        tokens=tokens,
        params=small(steps=8, optimizer=optimizer),
        numerics=Numerics(dtype="float32", **numerics),
        out=place / "out",
        reports=place / "reports",
        work=place / "work",
    )
    return [] if os.environ.get("RANK", "0") != "0" else losses(place)


def losses(place: Path) -> list[float]:
    """What a run wrote down of its steps."""
    lines = (place / "reports" / "details" / "loss.csv").read_text().split()[1:]
    return [float(line.split(",")[1]) for line in lines]


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tokens(tmp_path_factory.mktemp("corpus") / "tokenize")


def furthest(a: list[float], b: list[float]) -> float:
    return max(abs(x - y) for x, y in zip(a, b, strict=True))


LAST_DIGIT = 1e-5
"""Of the losses in loss.csv: two that differ by less may be written one such unit apart."""


@pytest.fixture(scope="module")
def two(tokens: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two processes; its files are not to be changed."""
    folder = tmp_path_factory.mktemp("two")
    trained(tokens, folder, "adamw", processes=2)
    return folder


@pytest.mark.slow
def test_two_processes_follow_the_losses_of_one(tokens: Path, two: Path, tmp_path: Path) -> None:
    one = trained(tokens, tmp_path, "adamw")
    assert furthest(one, losses(two)) < 1e-5 + LAST_DIGIT
    assert export.load(two / "out")[0].shape.depth == 2


@pytest.mark.long
def test_two_processes_follow_the_losses_of_one_with_muon(tokens: Path, tmp_path: Path) -> None:
    one = trained(tokens, tmp_path / "one", "muon")
    assert furthest(one, trained(tokens, tmp_path / "two", "muon", processes=2)) < 2e-3 + LAST_DIGIT


TORCHRUN = """
import os, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from components.training.loop import Trainer
after_step = Trainer.after_step
if (os.environ["RANK"], os.environ["TORCHELASTIC_RESTART_COUNT"]) == ("1", "0"):
    def until_six(self, *given):
        if self.step == 6:
            Path(sys.argv[3]).with_name("lost").touch()
            os._exit(9)
        after_step(self, *given)
    Trainer.after_step = until_six
from tests.components.training.test_data_parallel import trained
trained(Path(sys.argv[2]), Path(sys.argv[3]), "adamw", processes=2)
"""


@pytest.mark.long
def test_torchrun_starts_the_processes_and_starts_them_again_when_one_is_lost(
    tokens: Path, two: Path, tmp_path: Path
) -> None:
    here = Path(__file__).parent
    (tmp_path / "script.py").write_text(TORCHRUN)
    command = ["-m", "torch.distributed.run", "--standalone", "--max-restarts", "1", "--nproc-per-node", "2"]
    command.append(str(tmp_path / "script.py"))
    environment = os.environ | {"PYTHONPATH": str(here.parents[2])}
    done = subprocess.run(
        [sys.executable, *command, str(here), str(tokens), str(tmp_path / "torchrun")],
        env=environment, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "lost").exists()
    for name in ("out/model.safetensors", "reports/metrics.json"):
        assert (tmp_path / "torchrun" / name).read_bytes() == (two / name).read_bytes()


@pytest.mark.long
def test_a_checkpoint_of_two_processes_is_read_by_one(tokens: Path, two: Path, tmp_path: Path) -> None:
    assert sorted(path.name for path in (two / "work").glob("step-*")) == ["step-000004", "step-000008"]
    for name in ("alone", "again"):
        shutil.copytree(two / "work", tmp_path / name / "work", ignore=lambda *_: ["step-000008"])
    alone = trained(tokens, tmp_path / "alone", "adamw")
    assert alone[:4] == losses(two)[:4]
    assert furthest(alone, losses(two)) < 1e-5
    assert trained(tokens, tmp_path / "again", "adamw", processes=2) == losses(two)  # from step 4 on

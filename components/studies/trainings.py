"""Studies that train models: each point is trained once and read back afterwards; a report tells of all of them.

    work/points/NAME/result.json    of a finished point; model and reports beside it, where the study keeps them
    work/points/NAME/work/          checkpoints of one that was interrupted: it goes on from the newest

A study says what its points are, how one is trained and examined, and what follows from all; the
rest is here.
"""

import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar

from components.carbon.planning.budget import metered
from components.core.files import move, read_json, write_json
from components.core.progress import Progress
from components.core.report import Report
from components.params import Numerics, Pretrain, Runtime, Section


class StudyPoint(Protocol):
    """One training of a study."""

    @property
    def name(self) -> str:
        """Names its folder, and its run in MLflow."""

    @property
    def facts(self) -> dict[str, Any]:
        """Settings by which it differs from the others, as plain JSON: part of its result."""


Trained = TypeVar("Trained", bound=StudyPoint)
Settings = TypeVar("Settings", bound=Section)
RunPoints = Callable[[Sequence[Any]], list[dict[str, Any]]]
"""Results of points, in their order."""


@dataclass(frozen=True)
class Workplace:
    """Where a study reads and writes, and how floats are computed.

    Attributes:
        root: the checkout, with the pipeline's data and models; relative paths of `runtime` begin
            here.
        work: survives kills.
        ledger: the energy ledger; None meters nothing.
        runtime: whose project budget stops a training between steps; None has no limit, as without
            a ledger.
        run: name of the study's run in the ledger.
    """

    root: Path
    work: Path
    numerics: Numerics
    ledger: Path | None = None
    runtime: Runtime | None = None
    run: str = ""


@dataclass(frozen=True)
class TrainingStudy(ABC, Generic[Trained, Settings]):
    """A study with its settings, at its place; it pickles, so that workers carry out its points."""

    name: ClassVar[str]
    """Stage of its spans in the ledger."""
    params: Settings
    workplace: Workplace

    @abstractmethod
    def train(self, point: Trained, progress: Progress) -> Any:
        """Train a point's model, metered, within the project's budget; what `examine` needs."""

    @abstractmethod
    def examine(self, point: Trained, trained: Any) -> dict[str, Any]:
        """The figures of a point, as plain JSON."""

    @abstractmethod
    def summary(self, result: dict[str, Any]) -> str:
        """A result in a few words, for the log."""

    @abstractmethod
    def carry_out(self, run: RunPoints, reports: Path) -> dict[str, float | None]:
        """All of it, with report.md among the `reports`; returns the headline figures."""

    def folder(self, point: Trained) -> Path:
        """Folder of a point."""
        return self.workplace.work / "points" / point.name

    def finished(self, point: Trained) -> dict[str, Any] | None:
        """The result of a finished point; None of another."""
        path = self.folder(point) / "result.json"
        return dict(read_json(path)) if path.exists() else None

    def result(self, point: Trained) -> dict[str, Any]:
        """The result of a point, trained now unless it is finished.

        Returns:
            its facts, its figures, and what the training took: seconds, cpu_s, joules (mid).

        Raises `Stopped`: the project's budget does not hold another step; a checkpoint is written.
        """
        if finished := self.finished(point):
            return finished
        workplace, folder = self.workplace, self.folder(point)
        labels = {"stage": self.name, "run": workplace.run, "point": point.name}
        with metered(workplace.ledger, workplace.runtime, labels, workplace.root) as (meter, progress):
            began_s, cpu_s = time.perf_counter(), time.process_time()
            trained = self.train(point, progress)
            used = {"seconds": time.perf_counter() - began_s, "cpu_s": time.process_time() - cpu_s}
            used["joules"] = meter.totals_now().joules.mid if meter else 0.0
        write_json(folder / "result.json", point.facts | self.examine(point, trained) | used)
        shutil.rmtree(folder / "work", ignore_errors=True)
        return dict(read_json(folder / "result.json"))


def pretrained(
    folder: Path,
    objective: Literal["causal", "masked"],
    tokens: Path,
    params: Pretrain,
    numerics: Numerics,
    progress: Progress,
) -> Report:
    """Pretrain `folder`/model, with reports beside it; an interrupted training goes on from its checkpoint."""
    from components.stages.pretrain.stage import pretrain

    for name in ("model", "reports"):
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir(parents=True)
    (folder / "work").mkdir(exist_ok=True)
    return pretrain(
        objective=objective, tokens=tokens, params=params, numerics=numerics, out=folder / "model",
        reports=folder / "reports", work=folder / "work", progress=progress,
    )  # fmt: skip


def made_once(folder: Path, make: Callable[[Path], object]) -> Path:
    """A folder that is made whole or not at all, once.

    Args:
        make: fills `out` of the folder it is given, which has `reports` and `work` beside it.
    """
    if folder.exists():
        return folder
    temp = folder.with_name(f"aside-{folder.name}")
    shutil.rmtree(temp, ignore_errors=True)
    for name in ("out", "reports", "work"):
        (temp / name).mkdir(parents=True)
    make(temp)
    move(temp / "out", folder)
    shutil.rmtree(temp)
    return folder

"""The declaration of a stage, and what its function gets."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.core.report import Report
from components.core.workers import Workers
from components.params import Params, Runtime
from flows.system import code_files, dvc, paths

if TYPE_CHECKING:
    from flows.tracking.progress import StageProgress


@dataclass(frozen=True)
class StageContext:
    """Arguments of a stage function: parameters, where its inputs are, where to write.

    `out` and `reports` are empty staging folders; `work` survives a kill, and is this stage's with
    these inputs alone.
    """

    params: Params
    out: Path
    reports: Path
    work: Path
    progress: "StageProgress"
    root: Path = paths.ROOT

    @property
    def common(self) -> dict[str, Any]:
        """The arguments every stage function takes."""
        return {"out": self.out, "reports": self.reports, "work": self.work, "progress": self.progress}

    @property
    def data(self) -> dict[str, Any]:
        """The arguments every data stage takes."""
        return self.common | {"workers": workers_of(self.params.runtime)}


def workers_of(runtime: Runtime) -> Workers:
    """Where data stages work on shards, as their `workers`."""
    if runtime.engine == "local":
        return runtime.workers
    from components.cluster.ray_pool import Cluster

    return Cluster(runtime.workers, runtime.ray_address, runtime.work_path)


@dataclass(frozen=True)
class Stage:
    """A stage as flows know it.

    Attributes:
        name: as in dvc.yaml (`pretrain` of `pretrain@causal`), and of its section in params.yaml.
        section: the class of that section: the stage's form.
        call: runs the stage function on a `StageContext` (and the branch); its docstring is the
            stage's description.
        folder: `data` or `models`: where its outputs go; empty if it has reports alone.
        branches: the names after `@`; empty for a stage without.
        dry_run: says what the stage would do, and does nothing; None for a stage without.
        artifacts: what it writes outside its outputs and reports that MLflow keeps with its run,
            relative to the root.
    """

    name: str
    section: type
    call: Callable[[StageContext, Any], Report]
    folder: str = "data"
    branches: tuple[str, ...] = ()
    dry_run: Callable[[Params], str] | None = None
    artifacts: tuple[str, ...] = ()

    @property
    def description(self) -> str:
        """A sentence for the form and `--help`."""
        return self.call.__doc__ or ""

    def full_name(self, branch: str = "") -> str:
        """The stage's name in DVC."""
        return f"{self.name}@{branch}" if branch else self.name

    def output(self, branch: str = "") -> str:
        """Where its output goes, relative to the root."""
        return "/".join(part for part in (self.folder, self.name, branch) if part) if self.folder else ""

    def reports(self, branch: str = "") -> str:
        """Where its reports go, relative to the root."""
        return "/".join(part for part in ("reports", self.name, branch) if part)


@dataclass(frozen=True)
class Study:
    """Work beside the pipeline that has a form, such as a scaling sweep.

    Attributes:
        name: of its form; `section` is the class of its settings, whose defaults are what it does
            without any.
        title: of its report in Prefect.
        run: carries it out: run name, parameters and settings -> the folder with its report.md; its
            docstring is the form's.
    """

    name: str
    section: type
    title: str
    run: Callable[[str, Params, Any], Path]


def as_task(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as a task of the flow that calls it; Prefect caches nothing of it."""
    from prefect import task
    from prefect.cache_policies import NO_CACHE

    return task(cache_policy=NO_CACHE)(function)


def code_hashes() -> dict[str, str]:
    """Path -> DVC hash of the code that trains a model, for the work folder of a study."""
    hashes = dvc.inputs("pretrain@causal").hashes
    return {path: value for path, value in hashes.items() if path.startswith(code_files.CODE)}

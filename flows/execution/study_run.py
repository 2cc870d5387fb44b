"""A run of a study: locked, metered, and recorded in MLflow as a parent run with a child per model it trains."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from components.core.errors import UserError
from components.core.files import fingerprint, nested
from components.core.workers import pool
from components.params import Params, Section, explain, yaml_text
from components.params.layout import overlaid
from flows.execution.stage import Study, as_task
from flows.planning.preflight import raise_if_limited
from flows.system import git, paths, processes
from flows.system.run_folder import RunFolder
from flows.system.work_folder import sole_writer
from flows.tracking import mlflow_run
from greenhouse_record.metering.meter import Meter

if TYPE_CHECKING:
    from components.studies.trainings import StudyPoint, TrainingStudy, Workplace

Chosen = TypeVar("Chosen", bound=Section)


class StudyRecord:
    """The record of a study in MLflow.

    Args:
        study: its name is the `kind` of the parent run, and the `stage` of its children.
        run: its folder.
    """

    def __init__(self, study: str, run: RunFolder) -> None:
        self.mlflow, self.study, self.run = mlflow_run.client(), study, run
        self.parent = mlflow_run.parent_run(self.mlflow, run)

    def child(self, name: str, params: dict[str, Any], metrics: dict[str, Any], reports: Path) -> None:
        """A finished child run with a model's settings, its figures (what is no number is left out) and its plots."""
        tags = {"mlflow.parentRunId": self.parent, "stage": self.study}
        run = mlflow_run.create_run(self.mlflow, name, processes.process_tag(), tags)
        mlflow_run.log_params(self.mlflow, run, params)
        mlflow_run.log_metrics(self.mlflow, run, metrics)
        mlflow_run.log_files(self.mlflow, run, reports)
        self.mlflow.set_terminated(run, "FINISHED")

    def finish(self, metrics: dict[str, Any], params: dict[str, Any], reports: Path) -> None:
        """End the parent run with its headline figures, its parameters, and the report with what lies beside it."""
        mlflow_run.log_files(self.mlflow, self.parent, reports)
        files = [path for path in sorted(reports.iterdir()) if path.is_file()]
        mlflow_run.close_parent(self.mlflow, self.parent, self.run.name, "FINISHED", metrics, params, files=files)
        self.run.close()


@contextmanager
def study_run(study: Study, name: str, params: Params, work: Path) -> Iterator[StudyRecord]:
    """The record of a run that works in `work`, alone; one that does not end well is KILLED."""
    raise_if_limited()
    labels = {"stage": study.name, "run": name, "fingerprint": work.name}
    run = RunFolder(name)
    with sole_writer(work), Meter(paths.LEDGER, params.runtime.meter_interval_s, labels):
        run.open(study.name, commit=git.commit())
        record = StudyRecord(study.name, run)
        try:
            yield record
        except BaseException:
            record.mlflow.set_terminated(record.parent, "KILLED")
            run.close()
            raise


def carry_out(
    study: Study,
    name: str,
    params: Params,
    chosen: dict[str, Section],
    made_from: list[Any],
    trainings: "Callable[[Workplace], TrainingStudy[Any, Any]]",
    reports: Path,
) -> Path:
    """A study that trains models, locked, metered and recorded; returns the folder of its report.

    Args:
        chosen: the settings that change its figures, by section.
        made_from: hashes of what else does; another study of the same works in the same folder, and reads points back.
        trainings: the study, at its place.
    """
    from components.studies.trainings import Workplace

    settings = {section: values.model_dump(mode="json") for section, values in chosen.items()}
    work = paths.WORK / study.name / fingerprint([settings, made_from])
    workplace = Workplace(paths.ROOT, work, params.numerics, paths.LEDGER, params.runtime, name)
    with study_run(study, name, params, work) as record:
        runs = trainings(workplace)
        run = partial(as_task(train), runs, params.runtime.workers, record)
        record.finish(runs.carry_out(run, reports), settings, reports)
    return reports


def train(
    study: "TrainingStudy[Any, Any]", workers: int, record: StudyRecord, points: "Sequence[StudyPoint]"
) -> list[dict[str, Any]]:
    """Results of all points, in their order; finished ones are read back."""
    finished, results = {point.name for point in points if study.finished(point)}, []
    with pool(min(workers, len(points))) as executor:
        for point, result in zip(points, executor.map(study.result, points), strict=True):
            results.append(result)
            used = f"{result['seconds']:.0f} s, {result['joules']:.0f} J"
            note = "read back" if point.name in finished else used
            print(f"[{len(results)}/{len(points)}] {point.name}: {study.summary(result)}, {note}", flush=True)
            record.child(point.name, point.facts, result, study.folder(point) / "reports")
    return results


def study_settings(section: type[Chosen], entries: Iterable[str], base: Mapping[str, Any] | None = None) -> Chosen:
    """Settings of a study: its defaults, under the tree `base`, under entries `key=value` (dotted keys, YAML values).

    Raises:
        UserError: an entry has no `=`, an unknown key, or a value out of range.
    """
    values = dict(base or {})
    for entry in entries:
        key, equals, text = entry.partition("=")
        if not equals:
            keys = ", ".join(section.model_fields)
            raise UserError(f"{entry}: write a setting of this study as KEY=VALUE (there is: {keys})")
        values = overlaid(values, nested({key.strip(): yaml_text.load(text)}))
    try:
        return section.model_validate(values)
    except ValidationError as error:
        raise UserError(explain(error, "")) from None


def require(inputs: tuple[str, ...], command: str) -> None:
    """Raise `UserError` if one of these outputs of the pipeline is not there; `command` makes them."""
    if missing := [path for path in inputs if not (paths.ROOT / path).exists()]:
        raise UserError(f"{missing[0]} is not there; run `make demo` or `{command}` first")

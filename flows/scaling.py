"""Larger runs predicted from small ones: a sweep of sizes and compute budgets, a law, and runs that check it."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.core.files import fingerprint, move, read_json, write_json
from components.core.workers import pool
from components.params import Evaluate, Params, Scaling, Tokenize
from flows.execution.stage import Study, as_task, code_hashes
from flows.execution.study_run import StudyRecord, require, study_run
from flows.system import dvc, paths

if TYPE_CHECKING:
    from components.studies.scaling.sweep import Cell, SweepFolders

INPUTS = ("data/mix", "data/ingest/heldout")


def reports(params: Scaling) -> Path:
    """Where a sweep's results go."""
    return paths.ROOT / "reports" / ("scaling" if params.objective == "causal" else f"scaling-{params.objective}")


def run_study(name: str, params: Params, settings: Scaling) -> Path:
    """Train a ladder of small models, fit a scaling law, predict larger runs, make them and compare."""
    Sweep.prepare(name, params, settings).run()
    return reports(settings)


STUDY = Study("scaling", Scaling, "The law, and how it did", run_study)


@dataclass
class Sweep:
    """One run of the flow. `work` survives kills, and belongs to these parameters, this data and this code."""

    name: str
    params: Params
    settings: Scaling
    work: Path

    @classmethod
    def prepare(cls, name: str, params: Params, settings: Scaling) -> "Sweep":
        """Find the work folder.

        Raises:
            UserError: the pipeline's data is not there, or the sweep cannot be fitted.
        """
        from components.studies.scaling.sweep import plan

        plan(settings)  # refuses budgets that too few widths fit
        require(INPUTS, "greenhouse run --until mix")
        inputs = dvc.inputs("tokenize").hashes
        chosen = settings.model_dump(mode="json"), params.numerics.model_dump(mode="json")
        return cls(name, params, settings, paths.WORK / "scaling" / fingerprint([chosen, inputs, code_hashes()]))

    def run(self) -> None:
        """All of it, locked, metered and recorded."""
        with study_run(STUDY, self.name, self.params, self.work) as record:
            self._run(record)
            sections = {"scaling": self.settings, "numerics": self.params.numerics}
            chosen = {name: section.model_dump(mode="json") for name, section in sections.items()}
            folder = reports(self.settings)
            record.finish(read_json(folder / "scaling.json")["goals"], chosen, folder)

    def _run(self, record: StudyRecord) -> None:
        from components.studies.scaling import report
        from components.studies.scaling.fits import Fits
        from components.studies.scaling.sweep import check_cells, plan

        run = as_task(run_cells)
        folders = self.folders(as_task(tokens)(self.work, self.settings))
        fitted = run(plan(self.settings), folders, self.params.runtime.workers, record)
        fits = Fits.of(self.settings, fitted)
        expected = self.predict(report.predictions(fits))
        # What was predicted is what is run: a later start may fit another law (another scipy, another processor).
        cells = [cell for row in expected for cell in check_cells(self.settings, row["width"], row["budget"])]
        checks = run(cells, folders, self.params.runtime.workers, record)
        folder = reports(self.settings)
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.work / "predictions.json", folder)
        report.write(fits, expected, fitted + checks, folder)

    def folders(self, where: Path) -> "SweepFolders":
        """Where and how cells are run."""
        from components.studies.scaling.sweep import SweepFolders

        chosen = self.settings
        examine = Evaluate(items=chosen.items, shots=chosen.shots, bootstrap=100)
        return SweepFolders(
            where, paths.ROOT / "data/ingest/heldout", self.work / "cells", self.params.numerics, examine,
            paths.LEDGER, self.name, self.params.runtime, paths.ROOT,
        )  # fmt: skip

    def predict(self, predictions: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Write the predictions down; what is written stays, also when a later start of this sweep comes here again."""
        path = self.work / "predictions.json"
        if not path.exists():
            write_json(path, predictions)
        written = read_json(path)
        for row in written:
            name = f"{row['multiple']:.3g}x, width {row['width']}"
            print(f"predicted: {name}: {row['loss']:.4f} ({row['low']:.4f} to {row['high']:.4f})", flush=True)
        return written


# -- steps -------------------------------------------------------------------------------------------------------------


def tokens(work: Path, params: Scaling) -> Path:
    """Token shards of the pipeline's text with the sweep's vocabulary; made once."""
    from components.stages.tokenize.stage import tokenize

    folder, aside = work / "tokens", work / "tokens-aside"
    if folder.exists():
        return folder
    shutil.rmtree(aside, ignore_errors=True)
    for path in (aside / "out", aside / "reports", aside / "work"):
        path.mkdir(parents=True)
    tokenize(
        train=paths.ROOT / "data/mix/train",
        heldout=paths.ROOT / "data/ingest/heldout",
        params=Tokenize(vocab_size=params.vocab_size, train_megabytes=params.train_megabytes),
        out=aside / "out",
        reports=aside / "reports",
        work=aside / "work",
    )
    move(aside / "out", folder)
    shutil.rmtree(aside)
    return folder


def run_cells(
    cells: Sequence["Cell"], folders: "SweepFolders", workers: int, record: StudyRecord
) -> list[dict[str, Any]]:
    """Results of the cells, in their order; finished ones are read back."""
    from components.studies.scaling.sweep import done, run_cell

    known, results = {cell.name for cell in cells if done(folders, cell)}, []
    with pool(min(workers, len(cells))) as executor:
        for cell, result in zip(cells, executor.map(partial(run_cell, folders=folders), cells), strict=True):
            results.append(result)
            note = "read back" if cell.name in known else f"{result['seconds']:.0f} s"
            print(f"[{len(results)}/{len(cells)}] {cell.name}: {result['loss']:.4f} bits per byte, {note}", flush=True)
            settings = {"pretrain": cell.pretrain.model_dump(mode="json")}
            record.child(cell.name, settings, result, folders.folder(cell) / "reports")
    return results

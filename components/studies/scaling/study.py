"""The scaling study: cells of the sweep, the law fitted to them, and the larger runs that check what it predicted."""

import shutil
from pathlib import Path
from typing import Any

from components.core.files import read_json, write_json
from components.core.progress import Progress
from components.core.report import Report
from components.params import Scaling, Tokenize
from components.studies.scaling import report
from components.studies.scaling.fits import Fits
from components.studies.scaling.sweep import Cell, check_cells, plan
from components.studies.trainings import RunPoints, TrainingStudy, made_once, pretrained

LOSS = {"causal": "heldout/bits_per_byte", "masked": "heldout/bits_per_hidden_byte"}
"""Metric of a run that the law predicts."""


class ScalingStudy(TrainingStudy[Cell, Scaling]):
    """The sweep of these settings, on the pipeline's text with a vocabulary of its own."""

    name = "scaling"

    @property
    def tokens(self) -> Path:
        """Token shards of the pipeline's text, with the sweep's vocabulary."""
        return self.workplace.work / "tokens"

    @property
    def heldout(self) -> Path:
        """The held-out corpus."""
        return self.workplace.root / "data/ingest/heldout"

    def encode(self) -> None:
        """Make the token shards, once."""
        from components.stages.tokenize.stage import tokenize

        settings = Tokenize(vocab_size=self.params.vocab_size, train_megabytes=self.params.train_megabytes)

        def encoded(temp: Path) -> Report:
            return tokenize(
                train=self.workplace.root / "data/mix/train", heldout=self.heldout, params=settings, out=temp / "out",
                reports=temp / "reports", work=temp / "work",
            )  # fmt: skip

        made_once(self.tokens, encoded)

    def carry_out(self, run: RunPoints, reports: Path) -> dict[str, float | None]:
        """Fit the law to the sweep, write down its predictions, make their runs, and compare."""
        self.encode()
        fitted = run(plan(self.params))
        fits = Fits.of(self.params, fitted)
        expected = self.predict(fits)
        # What was predicted is what is run: a later start may fit another law (another scipy,
        # another processor).
        checks = run([cell for row in expected for cell in check_cells(self.params, row["width"], row["budget"])])
        reports.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.workplace.work / "predictions.json", reports)
        return {**report.write(fits, expected, fitted + checks, reports)}

    def predict(self, fits: Fits) -> list[dict[str, Any]]:
        """Write the predictions down; what is written stays, also when a later start of this sweep comes here again."""
        path = self.workplace.work / "predictions.json"
        if not path.exists():
            write_json(path, report.predictions(fits))
        written: list[dict[str, Any]] = read_json(path)
        for row in written:
            name = f"{row['multiple']:.3g}x, width {row['width']}"
            print(f"predicted: {name}: {row['loss']:.4f} ({row['low']:.4f} to {row['high']:.4f})", flush=True)
        return written

    def summary(self, result: dict[str, Any]) -> str:
        """Its loss."""
        return f"{result['loss']:.4f} bits per byte"

    def train(self, point: Cell, progress: Progress) -> Report:
        """Pretrain a cell."""
        return pretrained(
            self.folder(point), point.objective, self.tokens, point.pretrain, self.workplace.numerics, progress
        )

    def examine(self, point: Cell, trained: Report) -> dict[str, Any]:
        """The loss (bits per byte; masked: of hidden tokens)."""
        return {"loss": trained.metrics[LOSS[point.objective]]}

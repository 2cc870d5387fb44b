"""The scaling study: cells of the sweep, the law fitted to them, and the larger runs that check what it predicted."""

import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from components.core.files import read_json, write_json
from components.core.progress import Progress
from components.core.report import Report
from components.params import Evaluate, Scaling, Tokenize
from components.studies.scaling import report
from components.studies.scaling.fits import Fits
from components.studies.scaling.sweep import Cell, check_cells, plan
from components.studies.trainings import RunPoints, TrainingStudy, made_once, pretrained

ABILITIES = ("minimal_pairs", "few_shot_margin", "few_shot_examples", "restored")
"""Abilities of a finished model that are measured beside its loss."""
LOSS = {"causal": "heldout/bits_per_byte", "masked": "heldout/bits_per_hidden_byte"}
"""Metric of a run that the law predicts."""


class ScalingStudy(TrainingStudy[Cell, Scaling]):
    """The sweep of these settings, on the pipeline's text with a vocabulary of its own."""

    name = "scaling"

    @property
    def tokens(self) -> Path:
        """Token shards of the pipeline's text, with the sweep's vocabulary."""
        return self.place.work / "tokens"

    @property
    def heldout(self) -> Path:
        """The held-out corpus."""
        return self.place.root / "data/ingest/heldout"

    def encode(self) -> None:
        """Make the token shards, once."""
        from components.stages.tokenize.stage import tokenize

        own = Tokenize(vocab_size=self.params.vocab_size, train_megabytes=self.params.train_megabytes)

        def encoded(aside: Path) -> Report:
            return tokenize(
                train=self.place.root / "data/mix/train", heldout=self.heldout, params=own, out=aside / "out",
                reports=aside / "reports", work=aside / "work",
            )  # fmt: skip

        made_once(self.tokens, encoded)

    def carry_out(self, run: RunPoints, reports: Path) -> dict[str, float | None]:
        """Fit the law to the sweep, write its predictions down, make the runs they are of, and compare."""
        self.encode()
        fitted = run(plan(self.params))
        fits = Fits.of(self.params, fitted)
        expected = self.predict(fits)
        # What was predicted is what is run: a later start may fit another law (another scipy, another processor).
        checks = run([cell for row in expected for cell in check_cells(self.params, row["width"], row["budget"])])
        reports.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.place.work / "predictions.json", reports)
        return {**report.write(fits, expected, fitted + checks, reports)}

    def predict(self, fits: Fits) -> list[dict[str, Any]]:
        """Write the predictions down; what is written stays, also when a later start of this sweep comes here again."""
        path = self.place.work / "predictions.json"
        if not path.exists():
            write_json(path, report.predictions(fits))
        written: list[dict[str, Any]] = read_json(path)
        for row in written:
            name = f"{row['multiple']:.3g}x, width {row['width']}"
            print(f"predicted: {name}: {row['loss']:.4f} ({row['low']:.4f} to {row['high']:.4f})", flush=True)
        return written

    def told(self, result: dict[str, Any]) -> str:
        """Its loss."""
        return f"{result['loss']:.4f} bits per byte"

    def train(self, point: Cell, progress: Progress) -> Report:
        """Pretrain a cell."""
        return pretrained(
            self.folder(point), point.objective, self.tokens, point.pretrain, self.place.numerics, progress
        )

    def examine(self, point: Cell, trained: Report) -> dict[str, Any]:
        """The loss (bits per byte; masked: of hidden tokens), and the abilities; None for what cannot be asked.

        Minimal-pair accuracy, and the margin of label mapping with the most examples that fit the context; masked: the
        share of hidden tokens restored.
        """
        from components.stages.evaluate.tasks.few_shot import condition, few_shot
        from components.stages.evaluate.tasks.masked import masked
        from components.stages.evaluate.tasks.minimal_pairs import minimal_pairs
        from components.stages.evaluate.tasks.task import EvalContext, Folders, NotApplicable

        model, own = self.folder(point) / "model", self.params
        examined = Evaluate(items=own.items, shots=own.shots)
        folders = Folders(model, model, model, model, model, self.heldout, self.tokens)
        context = EvalContext(folders, examined, self.place.numerics)
        found: dict[str, Any] = {"loss": trained.metrics[LOSS[point.objective]]} | dict.fromkeys(ABILITIES)
        if point.objective == "masked":
            with suppress(NotApplicable):  # the held-out documents are too short
                found["restored"] = masked(context).metrics["accuracy"]
            return found
        with suppress(NotApplicable):  # the held-out text is in another language
            found["minimal_pairs"] = minimal_pairs(context).metrics["accuracy"]
        with suppress(NotApplicable):  # no prompt fits the context
            result = few_shot(context)
            most = max(set(own.shots) - set(result.facts["left_out_shots"]))
            found["few_shot_margin"] = result.estimate("margin", context.resampling, condition(most)).value
            found["few_shot_examples"] = float(most)
        return found

"""Intervals of a pretraining run, trained again from their kept checkpoints and compared to the bit, in one process.

    python -m components.studies.segments ARGUMENTS      JSON: the fields of `Segments`; prints what each came to

An interval lies between neighbouring kept checkpoints (`pretrain.keep_every`). It is honest if
training from its first ends in the bytes of its second with the recorded losses; step 0 is honest
if it follows from the seed, the end if it is the model and has the recorded figures. The cheapest
forgery patches the weights after training, so the last interval is always among the chosen. Whoever
forged others is caught if the random rest meets one (`caught`): with 100 intervals, a tenth of them
forged and the last not, 27 do in 96% of the draws; with one forged, in 26%.
"""

import csv
import json
import math
import shutil
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter

from components.core.files import read_json, rounded, sha256_file
from components.core.progress import Progress
from components.core.report import flat
from components.model import export
from components.model.transformer import Transformer
from components.params import Numerics, Pretrain
from components.stages.pretrain.report import RECENT
from components.stages.pretrain.stage import Objective, PretrainInputs, prepare, train_on
from components.training import checkpoint
from components.training.data_parallel import SINGLE
from components.training.lr_schedule import FINAL_WINDOWS

FORGED = 0.1
"""Share of forged intervals that a probability is stated for, beside that of a single one."""


def caught(intervals: int, sampled: int, forged: int) -> float:
    """Probability that a sample without replacement meets at least one forged interval (hypergeometric)."""
    honest = max(0, intervals - forged)
    return 1.0 - math.comb(honest, sampled) / math.comb(intervals, sampled)


def chances(intervals: int, sampled: int) -> tuple[float, float]:
    """Chance to meet one forged interval that is not the last, and a tenth of all, none of them the last."""
    tenth = math.ceil(FORGED * intervals)
    return caught(intervals - 1, sampled - 1, 1), caught(intervals - 1, sampled - 1, tenth)


@dataclass(frozen=True)
class Segments:
    """Training that is to be run again.

    Attributes:
        objective, params, numerics: of the run.
        root: a folder with outputs as they were published, at their paths in a checkout: tokens,
            model, reports, and of the kept checkpoints at least those of the chosen intervals.
        chosen: steps of the intervals as (first, last), the last of the run among them.
    """

    objective: Objective
    params: Pretrain
    numerics: Numerics
    root: Path
    chosen: list[tuple[int, int]]

    def differences(self, progress: Progress) -> dict[str, str]:
        """Interval -> the first thing that differs; empty for one that is the same. `end` and `figures` are the run's.

        Without the last interval among the chosen, nothing is known of the end.
        """
        assert self.chosen[-1][1] == self.params.steps, "the last interval is always trained again"
        intervals = {"0": (0, 0)} | {f"{first}-{last}": (first, last) for first, last in self.chosen}
        by_interval = {name: self.rerun(first, last, progress) for name, (first, last) in intervals.items()}
        end, model = self.kept(self.params.steps), self.root / "models/pretrain" / self.objective / "model.safetensors"
        same = sha256_file(end / model.name) == sha256_file(model)
        by_interval["end"] = "" if same else "the last checkpoint is not the model"
        return by_interval | {"figures": self.figures(end, progress)}

    def kept(self, step: int) -> Path:
        """The published checkpoint of a step."""
        return checkpoint.folder_of(self.root / "models/checkpoints" / self.objective, step)

    @cached_property
    def inputs(self) -> PretrainInputs:
        """Inputs of the run's training."""
        return prepare(self.objective, self.root / "data/tokenize", self.params, self.numerics)

    @property
    def reports(self) -> Path:
        """Folder of the run's reports."""
        return self.root / "reports/pretrain" / self.objective

    def rerun(self, first: int, last: int, progress: Progress) -> str:
        """Train from checkpoint `first` to step `last`; the first file or loss that is not as recorded, or ""."""
        inputs, work, was = self.inputs, self.root / f"work-{first}-{last}", self.kept(last)
        if last:
            begin = self.kept(first)
            if problem := checkpoint.damage(begin):
                return f"{begin.name} is damaged: {problem}"
            shutil.copytree(begin, work / begin.name)
        model = Transformer(inputs.shape).initialise(self.params.seed, self.params.initial_scale)
        result = train_on(inputs, model, work, progress, SINGLE, until=last)
        hashes = read_json(checkpoint.folder_of(work, last) / "files.json")
        shutil.rmtree(work)
        for name, digest in hashes.items():
            if not (was / name).exists() or sha256_file(was / name) != digest:
                return f"{was.name}/{name}"
        return self.losses_from(first, result.losses[first:])

    def losses_from(self, first: int, losses: list[float]) -> str:
        """The first loss after step `first` that loss.csv has not, or ""."""
        with (self.reports / "details/loss.csv").open(encoding="utf-8", newline="") as file:
            recorded = {row["step"]: row["loss"] for row in csv.DictReader(file)}
        for step, loss in enumerate(losses, first + 1):
            if (was := recorded.get(str(step), "nothing")) != str(rounded(loss)):
                return f"loss.csv: step {step}: recorded {was}, now {rounded(loss)}"
        return ""

    def figures(self, end: Path, progress: Progress) -> str:
        """The first figure in metrics.json that a checkpoint at the end does not have, or ""."""
        model, _, _ = export.load(end)
        losses = checkpoint.read(end)[1]["losses"].tolist()
        model = model.to(self.numerics.device).eval()
        scores = self.inputs.heldout.score(model, FINAL_WINDOWS, progress.raise_if_stopped)
        metrics = {f"heldout/{name}": value for name, value in scores.items()}
        recorded = flat(read_json(self.reports / "metrics.json"))
        for name, value in rounded(metrics | {"train/loss": float(np.mean(losses[-RECENT:]))}).items():
            if recorded.get(name) != value:
                return f"metrics.json: {name}: recorded {recorded.get(name, 'nothing')}, now {value}"
        return self.losses_from(0, losses)


def main() -> None:
    """Print what each interval came to, as one line of JSON."""
    segments = TypeAdapter(Segments).validate_json(sys.argv[1])
    print(json.dumps(segments.differences(Progress())))


if __name__ == "__main__":
    main()

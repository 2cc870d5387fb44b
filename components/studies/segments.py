"""Intervals of a pretraining run, trained again from their kept checkpoints and compared to the bit, in one process.

    python -m components.studies.segments ARGUMENTS      JSON: the fields of `Segments`; prints a line each

An interval lies between neighbouring kept checkpoints (`pretrain.keep_every`). It is honest if training from its first
ends in the bytes of its second; step 0 is honest if it follows from the seed, and the end if it is the model. Whoever
forged a share of the intervals is caught if a random sample meets one (`caught`): with 100 intervals, a tenth of them
forged, 27 do in 96% of the draws. A few long intervals catch little.
"""

import json
import math
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from components.core.files import read_json, sha256_file
from components.core.progress import Progress
from components.model.transformer import Transformer
from components.params import Numerics, Pretrain
from components.stages.pretrain.stage import Objective, prepare, train_on
from components.training import checkpoint
from components.training.data_parallel import SINGLE

FORGED = 0.1
"""Share of forged intervals that the probability is stated for."""


def caught(intervals: int, sampled: int, forged: float = FORGED) -> float:
    """Probability that a sample without replacement meets at least one forged interval (hypergeometric)."""
    bad = math.ceil(forged * intervals)
    return 1.0 - math.comb(intervals - bad, sampled) / math.comb(intervals, sampled)


@dataclass(frozen=True)
class Segments:
    """What is to be trained again.

    Attributes:
        objective, params, numerics: of the run. tokens: output of the tokenize stage.
        kept: its kept checkpoints; those of the chosen intervals are enough. model: model.safetensors, as published.
        steps: the steps of `chosen` intervals as (first, last). work: an empty folder.
    """

    objective: Objective
    params: Pretrain
    numerics: Numerics
    tokens: Path
    kept: Path
    model: Path
    chosen: list[tuple[int, int]]
    work: Path

    def differences(self, progress: Progress) -> dict[str, str]:
        """Interval -> the first file that differs; empty for one that is the same to the bit."""
        found = {"0": self.rerun(0, 0, progress)}
        for first, last in self.chosen:
            found[f"{first}-{last}"] = self.rerun(first, last, progress)
        end = checkpoint.folder_of(self.kept, self.params.steps) / "model.safetensors"
        found["end"] = "" if sha256_file(end) == sha256_file(self.model) else "the last checkpoint is not the model"
        return found

    def rerun(self, first: int, last: int, progress: Progress) -> str:
        """Train from checkpoint `first` to step `last`; the first file that differs from the kept one, or ""."""
        inputs = prepare(self.objective, self.tokens, self.params, self.numerics)
        work, was = self.work / f"{first}-{last}", checkpoint.folder_of(self.kept, last)
        if last:
            begin = checkpoint.folder_of(self.kept, first)
            if fault := checkpoint.damage(begin):
                return f"{begin.name} is damaged: {fault}"
            shutil.copytree(begin, work / begin.name)
        model = Transformer(inputs.shape).initialise(self.params.seed, self.params.initial_scale)
        train_on(inputs, model, work, progress, SINGLE, until=last)
        made = read_json(checkpoint.folder_of(work, last) / "files.json")
        shutil.rmtree(work)
        wrong = [
            name for name, digest in made.items() if not (was / name).exists() or sha256_file(was / name) != digest
        ]
        return f"{was.name}/{wrong[0]}" if wrong else ""


def main() -> None:
    """Print what each interval came to, as one line of JSON."""
    given = json.loads(sys.argv[1])
    segments = Segments(
        given["objective"],
        Pretrain(**given["params"]),
        Numerics(**given["numerics"]),
        Path(given["tokens"]),
        Path(given["kept"]),
        Path(given["model"]),
        [(first, last) for first, last in given["chosen"]],
        Path(given["work"]),
    )
    print(json.dumps(segments.differences(Progress())))


if __name__ == "__main__":
    main()

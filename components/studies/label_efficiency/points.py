"""The points of the label-efficiency study: one training each, on a number of labels, with a seed.

    masked     the pretrained masked model, all weights tuned
    scratch    the same network and training from random weights
    lora       the pretrained masked model, only low-rank adapters and the head tuned
    causal     the pretrained causal model, all weights tuned

The task is that of finetune.classify, with its steps, batch and learning rate; where labels are
more than its steps would see, every label is seen `EPOCHS` times. Each seed draws labels of its
own, and a number of labels holds the smaller ones. All points are judged on the same held-out
examples. A causal model's head is over the mean of the tokens here, as a masked model's is, so that
the two differ in the model alone.
"""

import math
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from components.core.errors import UserError
from components.core.files import read_json, write_json
from components.core.progress import Progress
from components.corpus.corpus import read_corpus
from components.counting import labels as counting
from components.counting.registry import posed
from components.instruction_pairs.examples import Draw, Passage
from components.model import export
from components.model.lora import add_lora
from components.model.transformer import Transformer
from components.params import Classify, LabelEfficiency
from components.stages.finetune import classify, tfidf
from components.stages.finetune.classifier import Classifier
from components.stages.finetune.example_selection import CHARS_PER_TOKEN
from components.stages.finetune.task_selection import choose
from components.stages.finetune.training import settings_of
from components.studies.label_efficiency import report
from components.studies.trainings import RunPoints, TrainingStudy
from components.tokens.tokenizer import Encoder
from components.training.loop import train
from greenhouse_record.metering.counters import cpu_model

Arm = Literal["masked", "scratch", "lora", "causal"]
ARMS: tuple[Arm, ...] = ("masked", "scratch", "lora", "causal")
EPOCHS = 4
"""From scratch, 4,096 labels take three or four: with one, accuracy is a tenth lower."""


@dataclass(frozen=True)
class LabelPoint:
    """One training."""

    arm: Arm
    labels: int
    seed: int

    @property
    def name(self) -> str:
        return f"{self.arm}-{self.labels}-seed{self.seed}"

    @property
    def facts(self) -> dict[str, Any]:
        return asdict(self)


def points(params: LabelEfficiency) -> list[LabelPoint]:
    """All points, those of one seed together: a study that is stopped has whole comparisons."""
    return [
        LabelPoint(arm, labels, seed) for seed in range(1, params.seeds + 1) for labels in params.labels for arm in ARMS
    ]


@dataclass(frozen=True)
class LabelStudy(TrainingStudy[LabelPoint, LabelEfficiency]):
    """The study, of the pipeline's models.

    Attributes:
        classify: task and training.
        bases: the pretrained models, for the report: `masked 1a2b3c4d`.
    """

    name = "label_efficiency"
    classify: Classify
    bases: Sequence[str] = ()

    def carry_out(self, run: RunPoints, reports: Path) -> dict[str, float | None]:
        """Draw the labels, train and judge all points, and tell."""
        task, results = self.draw(), run(points(self.params))
        heldout = self.passages(0)
        result = report.summary(results, [passage.cluster for passage in heldout])
        facts: dict[str, Any] = {
            "task": task,
            "items": len(heldout),
            "seeds": self.params.seeds,
            "epochs": EPOCHS,
            "bases": list(self.bases),
            "processor": cpu_model(),
        }
        report.write(result, facts, reports)
        best = min(result["label_efficiency"].values(), key=lambda needed: needed["value"])  # the best rival's
        needed = {f"label_efficiency/{key}": value for key, value in best.items()}
        rows = [(arm, row) for arm, curve in result["curves"].items() for row in curve]
        return needed | {f"accuracy/{arm}_{row['labels']}": row["value"] for arm, row in rows}

    def summary(self, result: dict[str, Any]) -> str:
        """Its accuracy."""
        return f"accuracy {result['accuracy']:.3f}"

    def examples(self, seed: int) -> Path:
        """File of a seed's training examples; seed 0: the held-out ones."""
        return self.workplace.work / f"examples-{seed}.json"

    def base(self, arm: Arm) -> Path:
        """Folder of the pretrained model an arm starts from, or whose shape it has."""
        return self.workplace.root / "models/pretrain" / ("causal" if arm == "causal" else "masked")

    def passages(self, seed: int) -> list[Passage]:
        """A seed's training passages, all of them; seed 0: the held-out ones."""
        return [Passage(*row) for row in read_json(self.examples(seed))]

    def draw(self) -> dict[str, Any]:
        """Draw the examples of every seed, once; returns the task's name, title and classes.

        Raises `UserError`: the task has fewer examples than the largest number of labels.
        """
        facts = self.workplace.work / "task.json"
        if facts.exists():
            return dict(read_json(facts))
        most, chars = self.params.labels[-1], CHARS_PER_TOKEN * self.classify.context
        train, heldout = self.workplace.root / self.classify.data, self.workplace.root / "data/ingest/heldout"
        choice = None
        for seed in range(1, self.params.seeds + 1):
            corpora = Draw(train, heldout, most, self.params.heldout_items, chars, seed)
            choice = choose("classify", self.classify.task if choice is None else choice.task.name, corpora)
            examples: Any = choice.examples
            if len(classify.first_of_each(examples.train, most)) < 0.95 * most:
                raise UserError(
                    f"labels: {most} labels are asked for, and the task {choice.task.name} has "
                    f"{len(examples.train)} training examples; leave out the largest, or give the pipeline more text"
                )
            write_json(self.examples(seed), [[p.text, p.label, p.cluster, p.stratum] for p in examples.train])
            if seed == 1:
                write_json(self.examples(0), [[p.text, p.label, p.cluster, p.stratum] for p in examples.heldout])
        assert choice
        task = {"name": choice.task.name, "title": choice.task.title, "classes": choice.examples.labels}
        write_json(facts, task)
        return task

    def training(self, point: LabelPoint) -> list[Passage]:
        """The passages a point is trained on."""
        return classify.first_of_each(self.passages(point.seed), point.labels)

    def encoder(self, arm: Arm) -> Encoder:
        """The tokenizer of an arm's model."""
        return Encoder(export.tokenizer_text(self.base(arm)))

    def train(self, point: LabelPoint, progress: Progress) -> tuple[Classifier, int]:
        """Tune a point's model; the steps it took."""
        passages = self.training(point)
        ids, truth = self._encoded(point, passages), [passage.label for passage in passages]
        model = build(point, self, max(truth) + 1)
        return model, tune(model, ids, truth, point, self, progress)

    def examine(self, point: LabelPoint, trained: tuple[Classifier, int]) -> dict[str, Any]:
        """`right`, a digit per held-out passage, their share `accuracy`, and `steps`.

        For the masked arm `rules`, as `right`, of each rule that may learn from the same labels and
        text.
        """
        model, steps = trained
        model.eval()
        heldout = self.passages(0)
        truth = np.array([passage.label for passage in heldout])
        right = classify.predict(model, self._encoded(point, heldout), self.workplace.numerics).argmax(axis=1) == truth
        figures = {"right": _digits(right), "accuracy": float(right.mean()), "steps": steps}
        if point.arm == "masked":
            passages = self.training(point)
            has_NK = classify.truth_of(passages, max(passage.label for passage in passages) + 1)
            known = counting.LabelledText([one.text for one in passages], has_NK, unlabelled=self.unlabelled)
            texts = [one.text for one in heldout]
            settings, _ = tfidf.choose(passages, known.has_NK.shape[1], "single_label_classification")
            simple = tfidf.train(passages, known.has_NK.shape[1], "single_label_classification", settings)
            guesses = posed("label", known, texts) | {"TF-IDF": list(simple.predict(texts))}
            figures["rules"] = {name: _digits(np.stack(rows).argmax(axis=1) == truth) for name, rows in guesses.items()}
        return figures

    @cached_property
    def unlabelled(self) -> list[str]:
        """Text that pretraining read, as the rules read it: in pieces, from the beginning."""
        return counting.pieces(read_corpus(self.workplace.root / self.classify.data))

    def _encoded(self, point: LabelPoint, passages: list[Passage]) -> list[list[int]]:
        return classify.encoded(self.encoder(point.arm), passages, self.classify.context)


def _digits(right: np.ndarray) -> str:
    return "".join(map(str, right.astype(int)))


# -- training ----------------------------------------------------------------------------------------------------------


def build(point: LabelPoint, study: LabelStudy, classes: int) -> Classifier:
    """The model of a point before its training."""
    model, _, _ = export.load(study.base(point.arm), study.workplace.numerics.device)
    assert isinstance(model, Transformer)  # pretrained here
    if point.arm == "scratch":
        model = Transformer(model.shape).initialise(point.seed).to(study.workplace.numerics.device)
    if point.arm == "lora":
        add_lora(model, study.params.lora_rank, point.seed)
    return Classifier(model, classes, mean=True).initialise_head(point.seed)


def tune(
    model: Classifier, ids: list[list[int]], truth: list[int], point: LabelPoint, study: LabelStudy, progress: Progress
) -> int:
    """Train in place; returns the steps."""
    params = study.classify
    steps = max(params.steps, math.ceil(EPOCHS * len(ids) / params.batch))
    batches = classify.passage_batches(ids, torch.tensor(truth), params.batch, point.seed)
    with tempfile.TemporaryDirectory(prefix="greenhouse-labels-") as work:
        settings = settings_of(params, steps, "label_efficiency", checkpoint_every=steps)
        train(model, batches, classify.loss, settings, Path(work), progress, numerics=study.workplace.numerics)
    return steps

"""The points of the label-efficiency study: one training each, on a number of labels, with a seed.

    masked     the pretrained masked model, all weights tuned
    scratch    the same network and training from random weights
    lora       the pretrained masked model, only low-rank adapters and the head tuned
    causal     the pretrained causal model, all weights tuned
    replay     the same, and a share of the steps repeats pretraining

The task is that of finetune.classify, with its steps, batch and learning rate; where labels are more than its steps
would see, every label is seen `EPOCHS` times. Each seed draws labels of its own, and a number of labels holds the
smaller ones. All points are judged on the same held-out examples. A causal model's head is over the mean of the tokens
here, as a masked model's is, so that the two differ in the model alone.
"""

import json
import math
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from components.carbon.planning.budget import metered
from components.core.errors import UserError
from components.core.files import read_json, write_json
from components.core.progress import Progress
from components.instruction_pairs.examples import Draw, Passage
from components.model import export
from components.model.lora import add_lora
from components.model.transformer import Transformer
from components.params import Classify, LabelEfficiency, Numerics, Runtime
from components.stages.evaluate.heldout_sample import sample, score_documents
from components.stages.evaluate.tasks.scoring import LanguageModel
from components.stages.finetune import classify, counting_rules
from components.stages.finetune.classifier import Classifier
from components.stages.finetune.example_selection import CHARS_PER_TOKEN
from components.stages.finetune.settings import settings_of
from components.stages.finetune.task_selection import choose
from components.tokens.shards import TokenShards
from components.tokens.tokenizer import Encoder
from components.training.data_order import pretrain_batches
from components.training.loop import train
from components.training.objectives import Batch, language_model_loss

Arm = Literal["masked", "scratch", "lora", "causal", "replay"]
ARMS: tuple[Arm, ...] = ("masked", "scratch", "lora", "causal", "replay")
FORGETTING: tuple[Arm, ...] = ("causal", "replay")
"""Arms whose bits per byte are measured after the training."""
EPOCHS = 4
"""From scratch, 4,096 labels take three or four to be learned: with one, its accuracy is a tenth lower."""
REPLAYED = 8
"""Windows of text in a step that repeats pretraining."""


@dataclass(frozen=True)
class LabelPoint:
    """One training."""

    arm: Arm
    labels: int
    seed: int

    @property
    def name(self) -> str:
        return f"{self.arm}-{self.labels}-seed{self.seed}"


@dataclass(frozen=True)
class StudySetup:
    """Where the study reads and writes, and its settings.

    Attributes:
        data, models: what the pipeline made.
        work: survives kills: the examples of each seed, and a file per finished point.
        classify: task and training.
        ledger, runtime, root: of the meter and the project's budget; without a ledger nothing is metered.
    """

    data: Path
    models: Path
    work: Path
    params: LabelEfficiency
    classify: Classify
    numerics: Numerics
    ledger: Path | None = None
    runtime: Runtime | None = None
    root: Path = Path()

    def examples(self, seed: int) -> Path:
        """File of a seed's training examples; seed 0: the held-out ones."""
        return self.work / f"examples-{seed}.json"

    def base(self, arm: Arm) -> Path:
        """Folder of the pretrained model an arm starts from, or whose shape it has."""
        return self.models / "pretrain" / ("causal" if arm in FORGETTING else "masked")

    def passages(self, seed: int) -> list[Passage]:
        """A seed's training passages, all of them; seed 0: the held-out ones."""
        return [Passage(*row) for row in read_json(self.examples(seed))["passages"]]


def points(params: LabelEfficiency) -> list[LabelPoint]:
    """All points, those of one seed together: a study that is stopped has whole comparisons."""
    return [
        LabelPoint(arm, labels, seed) for seed in range(1, params.seeds + 1) for labels in params.labels for arm in ARMS
    ]


# -- examples ----------------------------------------------------------------------------------------------------------


def draw(setup: StudySetup) -> dict[str, Any]:
    """Draw the examples of every seed, once; returns the task's name, title and classes.

    Raises:
        UserError: the task has fewer examples than the largest number of labels.
    """
    facts = setup.work / "task.json"
    if facts.exists():
        return dict(read_json(facts))
    most, chars = setup.params.labels[-1], CHARS_PER_TOKEN * setup.classify.context
    choice = None
    for seed in range(1, setup.params.seeds + 1):
        corpora = Draw(
            setup.root / setup.classify.data, setup.data / "ingest/heldout", most, setup.params.heldout_items, chars,
            seed,
        )  # fmt: skip
        choice = choose("classify", setup.classify.task if choice is None else choice.task.name, corpora)
        examples: Any = choice.examples
        if len(classify.first_of_each(examples.train, most)) < 0.95 * most:
            raise UserError(
                f"labels: {most} labels are asked for, and the task {choice.task.name} has "
                f"{len(examples.train)} training examples; leave out the largest, or give the pipeline more text"
            )
        write_json(
            setup.examples(seed), {"passages": [[p.text, p.label, p.cluster, p.stratum] for p in examples.train]}
        )
        if seed == 1:
            heldout = [[p.text, p.label, p.cluster, p.stratum] for p in examples.heldout]
            write_json(setup.examples(0), {"passages": heldout})
    assert choice
    task = {"name": choice.task.name, "title": choice.task.title, "classes": choice.examples.labels}
    write_json(facts, task)
    return task


# -- one point ---------------------------------------------------------------------------------------------------------


def result_path(point: LabelPoint, setup: StudySetup) -> Path:
    """File of a finished point."""
    return setup.work / "points" / f"{point.name}.json"


def run_point(point: LabelPoint, setup: StudySetup) -> dict[str, Any]:
    """Train and judge one point; read back if it is finished.

    Returns:
        arm, labels, seed; `right`, a digit per held-out passage; steps, seconds, cpu_s, joules of the training. For the
        masked arm `bayes`, as `right`, of naive Bayes on the same labels; for the causal arms `bits` per held-out
        document afterwards.

    Raises:
        Stopped: the project's budget does not hold another step.
    """
    path = result_path(point, setup)
    if path.exists():
        return dict(read_json(path))
    encoder = Encoder(export.tokenizer_text(setup.base(point.arm)))
    passages = classify.first_of_each(setup.passages(point.seed), point.labels)
    heldout = setup.passages(0)
    ids, asked = (classify.encoded(encoder, rows, setup.classify.context) for rows in (passages, heldout))
    truth, right = [passage.label for passage in passages], np.array([passage.label for passage in heldout])
    labels = {"stage": "label_efficiency", "point": point.name}
    with metered(setup.ledger, setup.runtime, labels, setup.root) as (meter, progress):
        model = build(point, setup, max(truth) + 1)
        started = meter.totals_now() if meter else None
        began_s, cpu_s = time.perf_counter(), time.process_time()
        steps = tune(model, ids, truth, point, setup, progress)
        used = {"seconds": time.perf_counter() - began_s, "cpu_s": time.process_time() - cpu_s}
        used["joules"] = meter.totals_now().joules.mid - started.joules.mid if meter and started else 0.0
    model.eval()
    found = {"right": classify.predict(model, asked, setup.numerics).argmax(axis=1) == right}
    if point.arm == "masked":
        views = counting_rules.counted(encoder, passages, heldout, setup.classify.context)
        found["bayes"] = counting_rules.naive_bayes(views, truth) == right
    result = asdict(point) | {name: "".join(map(str, row.astype(int))) for name, row in found.items()}
    result |= {"steps": steps} | used
    if point.arm in FORGETTING:
        result["bits"] = held_out_bits(model.backbone, setup)["bits"]
    write_json(path, result)
    return result


def build(point: LabelPoint, setup: StudySetup, classes: int) -> Classifier:
    """The model of a point before its training."""
    model, _, _ = export.load(setup.base(point.arm), setup.numerics.device)
    if point.arm == "scratch":
        model = Transformer(model.shape).initialise(point.seed).to(setup.numerics.device)
    if point.arm == "lora":
        add_lora(model, setup.params.lora_rank, point.seed)
    return Classifier(model, classes, mean=True).initialise_head(point.seed)


def tune(
    model: Classifier, ids: list[list[int]], truth: list[int], point: LabelPoint, setup: StudySetup, progress: Progress
) -> int:
    """Train in place; returns the steps."""
    params = setup.classify
    steps = max(params.steps, math.ceil(EPOCHS * len(ids) / params.batch))
    batches: Callable[[int], Batch] = classify.PassageBatches(ids, torch.tensor(truth), params.batch, point.seed)
    if point.arm == "replay" and setup.params.replay_share:
        every = round(1 / setup.params.replay_share)
        batches, steps = with_replay(batches, every, point.seed, setup), steps * every // (every - 1)
    with tempfile.TemporaryDirectory(prefix="greenhouse-labels-") as work:
        settings = settings_of(params, steps, "label_efficiency", checkpoint_every=steps)
        train(model, batches, loss, settings, Path(work), progress, numerics=setup.numerics)
    return steps


def with_replay(batches: Callable[[int], Batch], every: int, seed: int, setup: StudySetup) -> Callable[[int], Batch]:
    """The same batches in the same order, with one of the pretraining text after each `every - 1`."""
    replayed = pretrain_batches(
        TokenShards.open(setup.data / "tokenize/train"), context=setup.classify.context, batch=REPLAYED, seed=seed,
        mask_rate=None, document_mask=False,
    )  # fmt: skip

    def batch(number: int) -> Batch:
        row, place_in_row = divmod(number, every)
        return replayed(row) if place_in_row == every - 1 else batches(row * (every - 1) + place_in_row)

    return batch


def loss(model: Classifier, batch: Batch) -> torch.Tensor:
    """Of classes, or of the next tokens where the batch asks for them.

    The latter's gradient comes with a value of zero: beside the small losses of classes the loop would take it for bad.
    """
    if batch.targets.ndim == 1:
        return classify.loss(model, batch)
    nats = language_model_loss(model.backbone, batch)
    return nats - nats.detach()


def held_out_bits(model: Transformer, setup: StudySetup) -> dict[str, Any]:
    """Bits of each held-out document under a causal model, with the documents' bytes and works."""
    documents = sample(setup.data / "ingest/heldout", setup.params.heldout_kilobytes, 1)
    reader = LanguageModel.load(setup.base("causal"), setup.numerics.device)
    reader.model = model.eval()
    scored = score_documents(reader, documents)
    return {
        "bits": [float(-entry.scores.logp.sum() / math.log(2)) for entry in scored],
        "bytes": [int(entry.num_bytes.sum()) for entry in scored],
        "works": [entry.document.group for entry in scored],
    }


def before(setup: StudySetup) -> dict[str, Any]:
    """`held_out_bits` of the pretrained causal model, computed once."""
    path = setup.work / "before.json"
    if not path.exists():
        write_json(path, held_out_bits(export.load(setup.base("causal"), setup.numerics.device)[0], setup))
    return dict(read_json(path))


# -- memory ------------------------------------------------------------------------------------------------------------


def peak_megabytes(arm: Arm, setup: StudySetup) -> float:
    """Most megabytes (10^6 bytes) that tensors hold at once in the first two steps: weights, gradients, optimizer
    state, activations. What the process itself needs, hundreds of megabytes of libraries, is not in it."""
    from torch.profiler import ProfilerActivity, profile

    passages = classify.first_of_each(setup.passages(1), max(setup.params.labels[0], setup.classify.batch))
    ids = classify.encoded(Encoder(export.tokenizer_text(setup.base(arm))), passages, setup.classify.context)
    cuda = setup.numerics.device == "cuda"
    work = Path(tempfile.mkdtemp(prefix="greenhouse-memory-"))
    with profile(activities=[ProfilerActivity.CPU, *[ProfilerActivity.CUDA] * cuda], profile_memory=True) as recorded:
        point = LabelPoint(arm, setup.params.labels[0], 1)
        model = build(point, setup, max(passage.label for passage in passages) + 1)
        truth = torch.tensor([passage.label for passage in passages])
        batches = classify.PassageBatches(ids, truth, setup.classify.batch, 1)
        settings = settings_of(setup.classify, 2, "label_efficiency", checkpoint_every=2)
        train(model, batches, loss, settings, work, numerics=setup.numerics)
    recorded.export_chrome_trace(str(work / "trace.json"))
    events = json.loads((work / "trace.json").read_text())["traceEvents"]
    shutil.rmtree(work)
    changes = [
        event["args"]["Bytes"]
        for event in events
        if event.get("name") == "[memory]" and event["args"]["Device Type"] == int(cuda)
    ]
    return float(np.cumsum(changes).max()) / 1e6

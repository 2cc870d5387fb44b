"""A small finished project on disk, made with the project's own writers: corpora, reports, models, and a ledger."""

import json
import shutil
import time
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from components.core.files import sha256_bytes, write_json
from components.core.report import Report
from components.corpus.corpus import CorpusWriter, Document
from components.stages.account.summary import CORPUS_STAGES
from greenhouse_record.metering.meter import Meter


def document(number: int, source: str) -> Document:
    text = np.ndarray.__doc__ or ""
    text = f"{number}\n{text[number * 7 : number * 7 + 400]}"
    return Document(
        f"{number:016x}", text, source, "1.0", f"{source}/{number}.py", source, "BSD-3-Clause", "METADATA",
        "2026-01-01", sha256_bytes(text.encode()),
    )  # fmt: skip


def corpus(folder: Path, number: int, rule: str = "") -> None:
    with CorpusWriter(folder, dropped=bool(rule)) as writer:
        for index in range(number):
            writer.add(
                document(index, "numpy" if index % 3 else "shakespeare"), rule, f"{rule} of {index}" if rule else ""
            )


SHAPE = {
    "vocab_size": 512, "depth": 2, "width": 64, "heads": 2, "kv_heads": 2, "head_dim": 32, "feed_forward": 192,
    "context": 64, "causal": True,
}  # fmt: skip


def data(root: Path) -> None:
    counts = {"ingest": (30, 2), "dedup": (26, 4), "filter": (24, 2), "bias": (23, 1)}
    for stage, (kept, dropped) in counts.items():
        corpus(root / f"data/{stage}/train", kept)
        corpus(root / f"data/{stage}/dropped", dropped, f"{stage}_rule")
    corpus(root / "data/ingest/heldout", 5)
    corpus(root / "data/ingest/quarantine", 1, "not_utf8")
    corpus(root / "data/mix/train", 40)
    for split, number in (("train", 9000), ("heldout", 700)):
        manifest = {"num_tokens": number, "num_bytes": 3 * number, "num_documents": 10, "vocab_size": 512}
        write_json(root / f"data/tokenize/{split}/manifest.json", manifest)


def models(root: Path) -> None:
    for branch in ("causal", "masked"):
        facts = {
            "objective": branch, "shape": SHAPE | {"causal": branch == "causal"}, "num_parameters": 123_456,
            "training": {"steps": 10, "tokens": 20_480},
        }  # fmt: skip
        write_json(root / f"models/pretrain/{branch}/greenhouse.json", facts)
        tuned, task = ("instruct", "describe") if branch == "causal" else ("classify", "source")
        more = {"task": {"name": task, "title": f"the {task} task"}, "finetuning": {"steps": 5}}
        write_json(root / f"models/finetune/{tuned}/greenhouse.json", facts | more)


CHOICE = {
    "value": 0.5, "low": 0.4, "high": 0.6, "variance": "works", "baseline": 0.25, "baseline_name": "guessing",
    "column": "instruct",
}  # fmt: skip


def own_scores(model: str, **measured: dict) -> dict:
    """Facts of a training that scored its own model."""
    branch = {"model": model, "measured_by": model.replace("/", "@"), "headline": model.startswith("finetune/")}
    return {
        "scores": [
            branch | {"name": f"{model.split('/')[1]}/{metric}", "title": metric.replace("_", " ")} | row
            for metric, row in measured.items()
        ]
    }


def reports(root: Path) -> None:
    row = {
        "n": 120,
        "note": "a note",
        "baseline": 0.5,
        "baseline_name": "chance",
        "low": 0.6,
        "high": 0.8,
        "value": 0.7,
    }
    row |= {"model": "pretrain/causal", "measured_by": "evaluate"}
    facts = {
        "scores": [row | {"name": f"q{i // 2}/score{i}", "title": f"question {i}"} for i in range(26)],
        "skipped": {"few_shot": "the curriculum is switched off"},
    }
    found = {
        **dict.fromkeys((*CORPUS_STAGES, "tokenize"), Report({"documents/in": 1}, "# Text")),
        "pretrain/causal": Report(
            {"heldout/bits_per_byte": 2.1, "train/loss": 3.0}, "# Causal",
            own_scores("pretrain/causal", heldout_bits_per_byte={"value": 2.1, "unit": "bits", "better": "lower"}),
        ),
        "pretrain/masked": Report(
            {"heldout/accuracy": 0.21}, "# Masked", own_scores("pretrain/masked", heldout_accuracy={"value": 0.21})
        ),
        "finetune/instruct": Report(
            {"choice_accuracy/value": 0.5}, "# Instruct",
            own_scores("finetune/instruct", choice_accuracy=CHOICE, answer_bits_per_byte={"value": 1.9, "unit": "bits"})
            | {"skipped": [{"task": "describe", "reason": "no signatures in this corpus"}]},
        ),
        "finetune/classify": Report(
            {"accuracy/value": 0.9}, "# <script>alert(1)</script>",
            own_scores("finetune/classify", accuracy={"value": 0.9}, macro_f1={"value": 0.8}),
        ),
        "evaluate": Report({"q0/accuracy": 0.7}, "# Evaluate\n\n| a | b |\n|---|---|\n| 1 | 2 |", facts),
    }  # fmt: skip
    for stage, report in found.items():
        report.write(root / "reports" / stage)


def ledger(folder: Path, root: Path, stages: dict[str, float]) -> None:
    """Meter real work in this process: seconds per stage, all in one pipeline run."""
    with Meter(folder, 0.5, {"run": "calm-otter", "checkout": root.name}):
        for stage, seconds in stages.items():
            with Meter(folder, 0.5, {"stage": stage, "run": "calm-otter", "fingerprint": stage, "checkout": root.name}):
                start = time.process_time()
                while time.process_time() - start < seconds:
                    json.dumps(list(range(1000)))


def project(root: Path) -> Path:
    """A project whose stages all completed; returns the ledger folder."""
    shutil.copytree(_pattern(root.name).name, root, dirs_exist_ok=True)
    return root / ".greenhouse" / "ledger"


@cache
def _pattern(name: str) -> TemporaryDirectory:
    """What each project of this name is a copy of: half a second of metered work, and a hundred files put on disk."""
    folder = TemporaryDirectory()
    root = Path(folder.name)
    data(root)
    models(root)
    reports(root)
    names = ["ingest", "dedup", "filter", "bias", "mix", "tokenize", "pretrain@causal", "pretrain@masked"]
    names += ["finetune@instruct", "finetune@classify", "evaluate"]
    ledger(root / ".greenhouse" / "ledger", Path(name), dict.fromkeys(names, 0.05))
    return folder

"""Log-likelihoods beside lm-evaluation-harness's HF backend: `make bench NAME=eval`, after `make demo`.

The same model folder, requests, float32 and one thread on both sides, in turn, in one process. Timed is what answers
requests: a model's `loglikelihood`, encoding included; making requests of documents and scores of answers is the
harness's own code on both sides. Tasks: BLiMP's form with our generated pairs, and four continuations of held-out
passages. The HF backend takes batches of 64.
"""

import json
import logging
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from lm_eval.api.model import LM

from benchmarks.open import texts
from benchmarks.results import ROOT, figure, goal, write
from components.core.files import write_text
from components.stages.evaluate.tasks.grammar_templates import PHENOMENA, pairs
from components.stages.evaluate.tasks.harness import load, run
from components.stages.evaluate.tasks.scoring import LanguageModel

PAIRS, PASSAGES, RUNS, HF_BATCH = 200, 500, 5, 64
BEGIN_CHARS, END_CHARS = 300, 40
FORM = {
    "output_type": "multiple_choice", "validation_split": "train", "doc_to_target": 0, "num_fewshot": 0,
    "dataset_path": "json", "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
}  # fmt: skip


def tasks(folder: Path, heldout: Path, num_pairs: int, num_passages: int) -> list[str]:
    """The YAML files (JSON is YAML) and their data."""
    listed = [pair for name in PHENOMENA for pair in pairs(name, 1, num_pairs)]
    blimp = [{"sentence_good": pair.good, "sentence_bad": pair.bad} for pair in listed]
    form = {"doc_to_text": "", "doc_to_choice": "{{[sentence_good, sentence_bad]}}"}
    passages = list(_passages(texts(heldout, 10**6)))[: num_passages + 3]
    cloze = [
        {"begin": begin, "ends": [end, *(other for _, other in passages[at + 1 : at + 4])]}
        for at, (begin, end) in enumerate(passages[:-3])
    ]
    ends = {"doc_to_text": "{{begin}}", "doc_to_choice": "{{ends}}", "target_delimiter": ""}
    return [_task(folder, "pairs", blimp, form), _task(folder, "passages", cloze, ends)]


def _passages(documents: list[str]) -> Iterator[tuple[str, str]]:
    """Beginnings and what follows them."""
    for text in documents:
        for start in range(0, len(text) - BEGIN_CHARS - END_CHARS, 4 * BEGIN_CHARS):
            middle = start + BEGIN_CHARS
            yield text[start:middle].strip(), " " + text[middle : middle + END_CHARS].strip()


def _task(folder: Path, name: str, rows: list[dict], form: dict) -> str:
    write_text(folder / f"{name}.jsonl", "\n".join(map(json.dumps, rows)))
    data = {"dataset_kwargs": {"data_files": {"train": str(folder / f"{name}.jsonl")}}}
    write_text(folder / f"{name}.yaml", json.dumps({"task": name} | FORM | data | form))
    return str(folder / f"{name}.yaml")


def answers(found: dict[str, Any]) -> list[float]:
    """All log-likelihoods of a run, in order."""
    samples = [sample for task in sorted(found["samples"]) for sample in found["samples"][task]]
    return [float(answer[0]) for sample in samples for answer in sample["filtered_resps"]]


class Timed(LM):
    """A model of the harness that adds the seconds of its answers to the last of a list."""

    def __init__(self, model: LM, seconds: list[float]) -> None:
        super().__init__()
        self.model, self.seconds = model, seconds

    def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
        """Answer, timed."""
        started = time.perf_counter()
        answered = self.model.loglikelihood(requests, disable_tqdm=True)
        self.seconds[-1] += time.perf_counter() - started
        return answered

    def loglikelihood_rolling(self, requests: list[Any]) -> list[float]:
        """Not asked."""
        raise NotImplementedError

    generate_until = loglikelihood_rolling


def measure(root: Path, num_pairs: int = PAIRS, num_passages: int = PASSAGES, runs: int = RUNS) -> tuple:
    """Seconds of both sides in turn, and how far their scores lie apart."""
    from lm_eval.models.huggingface import HFLM

    from components.stages.evaluate.tasks.harness_model import HarnessModel

    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    folder = root / "models/pretrain/causal"
    with tempfile.TemporaryDirectory() as work:
        named = tasks(Path(work), root / "data/ingest/heldout", num_pairs, num_passages)
        sides = {
            "ours": HarnessModel(LanguageModel.load(folder)),
            "lm-eval, HF backend": HFLM(pretrained=str(folder), device="cpu", dtype="float32", batch_size=HF_BATCH),
        }
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        found: dict[str, dict[str, Any]] = {}
        for _ in range(runs):
            for name, model in sides.items():
                seconds[name].append(0.0)
                found[name] = run(Timed(model, seconds[name]), load(named))
    ours, theirs = (answers(found[name]) for name in sides)
    score_diff = max(
        abs(found["ours"]["results"][task]["acc,none"] - each["acc,none"])
        for task, each in found["lm-eval, HF backend"]["results"].items()
    )
    diff = max(score_diff, *(abs(a - b) for a, b in zip(ours, theirs, strict=True)))
    ours_s, theirs_s = (figure(each) for each in seconds.values())
    ratio = theirs_s["median"] / ours_s["median"]
    results = {"requests": len(ours), "threads": 1, "seconds": {"ours": ours_s, "lm-eval, HF backend": theirs_s}}
    return {"loglikelihood": results}, [
        goal("loglikelihood_vs_lm_eval", ratio, 3, "higher", says="times as fast as lm-eval's HF backend"),
        goal("score_max_diff", diff, 1e-4, "lower", says="largest difference of a log-likelihood or score"),
    ]


if __name__ == "__main__":
    write("eval", *measure(ROOT))

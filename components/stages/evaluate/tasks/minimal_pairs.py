"""Task `minimal_pairs`: whether the model finds the grammatical sentence of two more likely.

Accuracy of "the good sentence has the higher total log-probability" (BLiMP's rule), per phenomenon, beside n-gram
models of the text the model was trained on. In the generated pairs every word stands as often in good as in bad
sentences, so that unigrams are at one half. A folder of BLiMP files can be scored beside them.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components.core.errors import UserError
from components.counting.registry import posed
from components.stages.evaluate.tasks.grammar_templates import PHENOMENA, MinimalPair, pairs
from components.stages.evaluate.tasks.task import Curve, EvalContext, TaskResult, item_id

NAME = "minimal_pairs"


def minimal_pairs(context: EvalContext) -> TaskResult:
    """Score generated pairs, and those of `params.minimal_pairs` if set."""
    context.require_english()
    result = TaskResult(NAME, unit="words")
    generated = [pair for name in PHENOMENA for pair in pairs(name, context.params.seed, context.params.items)]
    result.facts["by_phenomenon"] = _score(context, result, generated, "accuracy", "minimal pairs")
    curve = Curve("minimal_pairs", "Minimal pairs by phenomenon", "", "accuracy", [], 0.5, "bar")
    for name in PHENOMENA:
        curve.add(name.replace("_", " "), result.estimate("accuracy", context.resampling, name))
    result.curves.append(curve)
    if context.params.minimal_pairs:
        files = files_of_pairs(context.params.minimal_pairs)
        listed = [pair for path in files for pair in read_pairs(path, context.params.items)]
        result.facts["blimp"] = _score(context, result, listed, "blimp_accuracy", "minimal pairs of the folder")
    return result


def _score(
    context: EvalContext, result: TaskResult, scored: Sequence[MinimalPair], metric: str, title: str
) -> dict[str, dict[str, Any]]:
    """Append and report the pairs; returns each phenomenon's score."""
    model = context.causal
    sentences = [model.encode(text)[: model.context + 1] for pair in scored for text in (pair.good, pair.bad)]
    hits = _hits([scores.total for scores in model.score(sentences)])
    texts = [text for pair in scored for text in (pair.good, pair.bad)]
    sizes = posed("text", context.training_text, texts, apart=True)
    by_rule = {name: _hits([-bits for bits in sized]) for name, sized in sizes.items()}
    for number, (pair, hit) in enumerate(zip(scored, hits, strict=True)):
        key, cluster = item_id(pair.good, pair.bad), f"{pair.phenomenon}/{pair.head}"
        rules = {name: each[number] for name, each in by_rule.items()}
        result.item(metric, key, hit, condition=pair.phenomenon, cluster=cluster, rules=rules)
    total = result.estimate(metric, context.resampling)
    result.metric(metric, total)
    phenomena = sorted({pair.phenomenon for pair in scored})
    note = f"{len(phenomena)} phenomena"
    baseline = result.baseline(metric, context.resampling)
    result.score(metric, title, total, baseline, note, headline=True)
    return {name: result.estimate(metric, context.resampling, name).as_dict() for name in phenomena}


def _hits(totals: Sequence[float]) -> list[float]:
    """1 where the first of two neighbouring totals is the larger, one half where they are equal."""
    pairs = zip(totals[::2], totals[1::2], strict=True)
    return [1.0 if good > bad else 0.5 if good == bad else 0.0 for good, bad in pairs]


def files_of_pairs(folder: str, root: Path = Path()) -> list[Path]:
    """The jsonl files of the folder, by name.

    Raises:
        UserError: there is none.
    """
    paths = sorted((root / folder).glob("*.jsonl"))
    if not paths:
        raise UserError(
            f"evaluate.minimal_pairs = {folder}: no *.jsonl file there; name a folder of BLiMP-style files, or ''"
        )
    return paths


def read_pairs(path: Path, limit: int) -> list[MinimalPair]:
    """The first `limit` pairs of a BLiMP-style file; the file's name is the paradigm.

    Raises:
        UserError: a line is no JSON object with `sentence_good` and `sentence_bad`.
    """
    read: list[MinimalPair] = []
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            if len(read) == limit:
                break
            try:
                row = json.loads(line.decode())
                good, bad = (str(row[name]).encode().decode() for name in ("sentence_good", "sentence_bad"))
                read.append(MinimalPair(path.stem, good, bad, path.stem))
            except (ValueError, KeyError, TypeError, RecursionError):
                raise UserError(
                    f"{path.name} line {number}: needs a JSON object with sentence_good and sentence_bad; correct the "
                    "file or set evaluate.minimal_pairs to ''"
                ) from None
    return read

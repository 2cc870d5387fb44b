"""Task `minimal_pairs`: whether the model finds the grammatical sentence of two more likely.

Accuracy of "the good sentence has the higher total log-probability" (BLiMP's rule), per phenomenon. A total favours the
sentence with fewer tokens: a random model was measured at .47, not .5. So the score is reported on the pairs of equal
token length too, where chance is exactly one half. A folder of BLiMP files can be scored beside the generated pairs.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from components.core.errors import UserError
from components.core.files import sha256_bytes
from components.stages.evaluate.tasks.grammar_templates import PHENOMENA, MinimalPair, pairs
from components.stages.evaluate.tasks.task import Curve, EvalContext, TaskResult

NAME = "minimal_pairs"
CHANCE = 0.5


def minimal_pairs(context: EvalContext) -> TaskResult:
    """Score generated pairs, and those of `params.minimal_pairs` if set."""
    context.require_english()
    result = TaskResult(NAME)
    made = [pair for name in PHENOMENA for pair in pairs(name, context.params.seed, context.params.items)]
    equal = _score(context, result, made, "accuracy")
    resampling = context.resampling
    total = result.estimate("accuracy", resampling)
    result.metric("accuracy", total)
    curve = Curve("minimal_pairs", "Minimal pairs by phenomenon", "", "accuracy", [], CHANCE, "bar")
    for name in PHENOMENA:
        estimate = result.estimate("accuracy", resampling, name)
        result.facts[name] = estimate.as_dict()
        curve.add(name.replace("_", " "), estimate)
    result.curves.append(curve)
    result.highlight(
        "minimal pairs", total, CHANCE, f"{len(PHENOMENA)} phenomena; {_equal_note(result, context, 'accuracy', equal)}"
    )
    if context.params.minimal_pairs:
        _blimp(context, result)
    return result


def _equal_note(result: TaskResult, context: EvalContext, metric: str, equal: int) -> str:
    """Report the length-controlled score, and say it in words."""
    if not equal:
        return "no pair has equal token lengths"
    estimate = result.estimate(f"{metric}_equal_length", context.resampling)
    result.metric(f"{metric}_equal_length", estimate, bounds=False)
    return f"{estimate.value:.3f} on the {equal} pairs of equal token length"


def _score(
    context: EvalContext, result: TaskResult, made: Sequence[MinimalPair], metric: str, by_paradigm: bool = False
) -> int:
    """Append a row per pair (and one more if its token lengths are equal); returns how many are of equal length."""
    model, equal = context.causal, 0
    sentences = [model.encode(text)[: model.context + 1] for pair in made for text in (pair.good, pair.bad)]
    totals = [float(scores.logp.sum()) for scores in model.score(sentences)]
    for index, pair in enumerate(made):
        good, bad = totals[2 * index : 2 * index + 2]
        hit = 1.0 if good > bad else 0.5 if good == bad else 0.0
        key = sha256_bytes(f"{pair.good}\n{pair.bad}".encode())[:16]
        cluster = pair.phenomenon if by_paradigm else f"{pair.phenomenon}/{pair.head}"
        result.item(metric, key, hit, condition=pair.phenomenon, cluster=cluster)
        if len(sentences[2 * index]) == len(sentences[2 * index + 1]):
            result.item(f"{metric}_equal_length", key, hit, condition=pair.phenomenon, cluster=cluster)
            equal += 1
    return equal


def _blimp(context: EvalContext, result: TaskResult) -> None:
    """Score a folder of BLiMP-style files, at most `items` pairs of each, clustered by file."""
    folder = Path(context.params.minimal_pairs)
    made = [pair for path in _files(folder) for pair in read_pairs(path, context.params.items)]
    equal = _score(context, result, made, "blimp_accuracy", by_paradigm=True)
    total = result.estimate("blimp_accuracy", context.resampling)
    result.metric("blimp_accuracy", total)
    paradigms = sorted({pair.phenomenon for pair in made})
    scores = {name: result.estimate("blimp_accuracy", context.resampling, name).value for name in paradigms}
    result.facts["blimp"] = scores
    note = f"{len(paradigms)} paradigms from a folder"
    if equal:
        note += f"; {_equal_note(result, context, 'blimp_accuracy', equal)}"
    result.highlight("minimal pairs of the folder", total, CHANCE, note)


def _files(folder: Path) -> list[Path]:
    """The jsonl files of the folder, by name."""
    paths = sorted(folder.glob("*.jsonl"))
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
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if len(read) == limit:
                break
            try:
                row = json.loads(line)
                read.append(MinimalPair(path.stem, str(row["sentence_good"]), str(row["sentence_bad"]), path.stem))
            except (ValueError, KeyError, TypeError):
                raise UserError(
                    f"{path.name} line {number}: needs a JSON object with sentence_good and sentence_bad; correct the "
                    "file or set evaluate.minimal_pairs to ''"
                ) from None
    return read

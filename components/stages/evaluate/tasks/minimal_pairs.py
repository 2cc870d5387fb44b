"""Does the model find the grammatical sentence of two more likely?

Accuracy of "the good sentence has the higher total log-probability" (BLiMP's rule), per phenomenon. A total favours the
sentence with fewer tokens: a random model was measured at .47, not .5. So the score is reported on the pairs of equal
token length too, where chance is exactly one half. A folder of BLiMP files can be scored beside the generated pairs.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from components.core.errors import UserError
from components.core.files import sha256_bytes
from components.stages.evaluate.tasks.grammar_templates import PHENOMENA, Pair, pairs
from components.stages.evaluate.tasks.task import Curve, Exam, Outcome

NAME = "minimal_pairs"
CHANCE = 0.5


def minimal_pairs(exam: Exam) -> Outcome:
    """Score generated pairs, and those of `params.minimal_pairs` if set."""
    exam.must_be_english()
    outcome = Outcome(NAME)
    made = [pair for name in PHENOMENA for pair in pairs(name, exam.params.seed, exam.params.items)]
    equal = _score(exam, outcome, made, "accuracy")
    how = exam.how
    total = outcome.estimate("accuracy", how)
    outcome.metric("accuracy", total)
    curve = Curve("minimal_pairs", "Minimal pairs by phenomenon", "", "accuracy", [], CHANCE, "bar")
    for name in PHENOMENA:
        estimate = outcome.estimate("accuracy", how, name)
        outcome.facts[name] = estimate.as_dict()
        curve.add(name.replace("_", " "), estimate)
    outcome.curves.append(curve)
    outcome.highlight(
        "minimal pairs", total, CHANCE, f"{len(PHENOMENA)} phenomena; {_equal_note(outcome, exam, equal)}"
    )
    if exam.params.minimal_pairs:
        _blimp(exam, outcome)
    return outcome


def _equal_note(outcome: Outcome, exam: Exam, equal: int) -> str:
    """Report the length-controlled score, and say it in words."""
    if not equal:
        return "no pair has equal token lengths"
    estimate = outcome.estimate("accuracy_equal_length", exam.how)
    outcome.metric("accuracy_equal_length", estimate, bounds=False)
    return f"{estimate.value:.3f} on the {equal} pairs of equal token length"


def _score(exam: Exam, outcome: Outcome, made: Sequence[Pair], metric: str, by_paradigm: bool = False) -> int:
    """Append a row per pair (and one more if its token lengths are equal); returns how many are of equal length."""
    model, equal = exam.causal, 0
    sentences = [model.encode(text)[: model.context + 1] for pair in made for text in (pair.good, pair.bad)]
    totals = [float(scores.logp.sum()) for scores in model.score(sentences)]
    for index, pair in enumerate(made):
        good, bad = totals[2 * index : 2 * index + 2]
        hit = 1.0 if good > bad else 0.5 if good == bad else 0.0
        key = sha256_bytes(f"{pair.good}\n{pair.bad}".encode())[:16]
        cluster = pair.phenomenon if by_paradigm else f"{pair.phenomenon}/{pair.head}"
        outcome.item(metric, key, hit, condition=pair.phenomenon, cluster=cluster)
        if len(sentences[2 * index]) == len(sentences[2 * index + 1]):
            outcome.item(f"{metric}_equal_length", key, hit, condition=pair.phenomenon, cluster=cluster)
            equal += 1
    return equal


def _blimp(exam: Exam, outcome: Outcome) -> None:
    """Score a folder of BLiMP-style files, at most `items` pairs of each, clustered by file."""
    folder = Path(exam.params.minimal_pairs)
    made = [pair for path in _files(folder) for pair in read_pairs(path, exam.params.items)]
    equal = _score(exam, outcome, made, "blimp_accuracy", by_paradigm=True)
    total = outcome.estimate("blimp_accuracy", exam.how)
    outcome.metric("blimp_accuracy", total)
    paradigms = sorted({pair.phenomenon for pair in made})
    scores = {name: outcome.estimate("blimp_accuracy", exam.how, name).value for name in paradigms}
    outcome.facts["blimp"] = scores
    note = f"{len(paradigms)} paradigms from a folder"
    if equal:
        controlled = outcome.estimate("blimp_accuracy_equal_length", exam.how)
        outcome.metric("blimp_accuracy_equal_length", controlled, bounds=False)
        note += f"; {controlled.value:.3f} on the {equal} pairs of equal token length"
    outcome.highlight("minimal pairs of the folder", total, CHANCE, note)


def _files(folder: Path) -> list[Path]:
    """The jsonl files of the folder, by name."""
    found = sorted(folder.glob("*.jsonl"))
    if not found:
        raise UserError(
            f"evaluate.minimal_pairs = {folder}: no *.jsonl file there; name a folder of BLiMP-style files, or ''"
        )
    return found


def read_pairs(path: Path, limit: int) -> list[Pair]:
    """The first `limit` pairs of a BLiMP-style file; the file's name is the paradigm.

    Raises:
        UserError: a line is no JSON object with `sentence_good` and `sentence_bad`.
    """
    found: list[Pair] = []
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if len(found) == limit:
                break
            try:
                row = json.loads(line)
                found.append(Pair(path.stem, str(row["sentence_good"]), str(row["sentence_bad"]), path.stem))
            except (ValueError, KeyError, TypeError):
                raise UserError(
                    f"{path.name} line {number}: needs a JSON object with sentence_good and sentence_bad; correct the "
                    "file or set evaluate.minimal_pairs to ''"
                ) from None
    return found

"""Scores of a model, measured again: the code of the stages that measured them, on its weights and the same items.

Measured with models of 12 steps (tests/small.yaml) on one machine, kernels of AVX2 against AVX512: means of bits or
nats moved by 3e-5 of themselves at most, and of 40 choices 2, with the interval's lower bound by .075. `room` is wider
than that, and by far narrower than what a model that nobody trained is off by.
"""

from collections.abc import Iterable
from pathlib import Path

from components.core.progress import Progress
from components.model import hub_model
from components.params import Evaluate, Finetune, Numerics, Prefer
from components.scores import Score
from components.stages.evaluate.registry import read_result, run_group, wanted
from components.stages.evaluate.tasks.task import Folders, TaskResult
from components.stages.finetune import classify, instruct, preferences
from components.stages.finetune.job import Job
from components.statistics import Estimate, ratio

RELATIVE, TIES = 1e-3, 3
"""Room of a score, as a share of it; items that may fall the other way where it counts items."""
Gains = tuple[tuple[float, ...], ...]
Measured = dict[tuple[str, str], Score | Estimate]
"""Name and model -> score; of one that tuning measured, without its rules."""
LEAST = 0.1
"""A score below that has the room of one that is so large: its rounding is that of what it is a difference of."""
NUMBERS = {"value": 1, "baseline": 1, "gain": 1, "low": 2, "high": 2, "gain_low": 2, "gain_high": 2}
"""Number of a score that is compared -> times its room that it may be off."""
EXACT = ("n", "title", "kind", "unit", "better")


def evaluated(tasks: Iterable[str], folders: Folders, params: Evaluate, numerics: Numerics, work: Path) -> Measured:
    """Scores of eval tasks, by name; those that no longer apply have none.

    Raises:
        UserError: a folder is missing or damaged, or this machine has no such device.
    """
    names = [name for name in wanted(params) if name in set(tasks)]
    run_group(names, folders, params, numerics, work)
    results = [read_result(work, name) for name in names]
    return {(s.name, s.model): s for one in results if isinstance(one, TaskResult) for s in one.scores}


def tuned(
    branch: str, folder: Path, base: Path, train: Path, heldout: Path, params: Finetune, numerics: Numerics
) -> dict[str, Estimate]:
    """Name -> score, of what the stage that tuned the model in `folder` measured after training.

    Args:
        base, train, heldout: as `finetune` takes them.

    Raises:
        UserError: as `finetune`.
    """

    def job(model: Path) -> Job:
        return Job(branch, model, train, heldout, params, numerics, Progress())  # type: ignore[arg-type]

    own = job(folder)
    rows = own.choice.examples.heldout
    if branch == "instruct":
        judged = instruct.judge(own.model, rows, instruct.Format(own.encoder, own.context, chat=True), numerics)
        chosen = {"choice_accuracy": judged.choice} if judged.choice else {}
        scores = chosen | {"answer_bits_per_byte": judged.bits_per_byte}
    elif isinstance(params, Prefer):
        pairs, clusters = [preferences.encoded(row, own.encoder) for row in rows], [r.cluster or r.where for r in rows]
        after, before = (
            preferences.all_log_probabilities(one.model, pairs, numerics, own.encoder.pad).numpy()
            for one in (own, job(base))
        )
        moved = params.beta * (after - before).astype(float)
        scores = {
            "accuracy": ratio(preferences.wins(after).tolist(), None, clusters).within(0, 1),
            "reward_margin": ratio((moved[:, 0] - moved[:, 1]).tolist(), None, clusters),
        }
    else:
        labels, problem = own.choice.examples.labels, own.choice.examples.problem
        model = hub_model.load_classifier(
            folder, own.model.shape, own.encoder.pad, params.seed, labels, problem, str(own.device)
        )
        ids = classify.encoded(own.encoder, rows, own.context)
        probability_NK = classify.predict(model.eval(), ids, numerics, problem)
        judged_by = classify.classifier_scores(classify.decided(probability_NK, problem), rows)
        scores = {"accuracy": judged_by.accuracy, "macro_f1": judged_by.macro_f1}
    return {f"{branch}/{name}": score for name, score in scores.items()}


def difference(stated: Score, measured: Score | Estimate) -> str:
    """The first number of a stated score that is not as measured, with both; "" if all are within `room`.

    An estimate has no baseline, so none is compared.
    """
    for name in EXACT:
        if (told := getattr(stated, name)) != (found := getattr(measured, name, told)):
            return f"{stated.name}, {name}: signed {told}, here {found}"
    for name, share in NUMBERS.items():
        told, found = getattr(stated, name), getattr(measured, name, None)
        if not hasattr(measured, name) or told is found is None:
            continue
        if told is None or found is None or not abs(told - found) <= share * room(stated, measured):
            return f"{stated.name}, {name}: signed {told}, measured here {found}"
    if isinstance(measured, Score) and not _alike(stated.against, measured.against, 2 * room(stated, measured)):
        return f"{stated.name}: gains over rules signed as {stated.against}, measured here {measured.against}"
    return ""


def _alike(told: Gains, found: Gains, wide: float) -> bool:
    """Whether gains and their standard errors are within `wide`, and degrees of freedom within half."""
    return len(told) == len(found) and all(
        abs(a[0] - b[0]) <= wide and abs(a[1] - b[1]) <= wide and abs(a[2] - b[2]) <= 0.5 * b[2]
        for a, b in zip(told, found, strict=True)
    )


def room(stated: Score, measured: Score | Estimate) -> float:
    """How far a number may be off: `RELATIVE` of the score or its baseline, and `TIES` items where it counts them."""
    of = max(abs(measured.value), abs(getattr(measured, "baseline", None) or 0.0), LEAST)
    counts = stated.unit == "share" or stated.kind == "memorisation"
    return RELATIVE * of + (TIES / max(1, measured.n or 1) if counts else 0.0)

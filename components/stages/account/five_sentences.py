"""The five answers of a run in a sentence each: the head of the report, and the first lines of the end table."""

from collections.abc import Mapping

from components.stages.account.answer_text import (
    direction_words,
    earlier_words,
    known,
    left_out_words,
    licence_words,
    seen_words,
)
from components.stages.account.answers import DataAnswer, ModelAnswers, NotKnown, QualityAnswer, RebuildAnswer
from components.stages.account.model_answers import forecast_of
from components.stages.account.score_rows import ScoreRow, above
from components.stages.account.summary import FURTHER_MODELS
from components.stages.account.types import Summary, Triple

QUESTIONS = {
    "text": "What was it trained on?",
    "cost": "What did it cost?",
    "quality": "How good is it?",
    "rebuild": "Can it be rebuilt?",
    "load": "Can it be loaded?",
}
ORDER = ("finetune/instruct", *FURTHER_MODELS, "pretrain/causal", "finetune/classify", "pretrain/masked")
"""The model that stands for a run: the first of these that there is."""


def five_sentences(summary: Summary, answers: Mapping[str, ModelAnswers], rows: list[ScoreRow]) -> dict[str, str]:
    """Question (a key of `QUESTIONS`) -> one sentence; a question that cannot be answered says why."""
    name = next((name for name in ORDER if name in answers), None)
    if name is None:
        unknown = "Not known: no model has been trained here yet."
        return dict.fromkeys(QUESTIONS, unknown) | {"cost": cost_sentence(summary)}
    answer = answers[name]
    tool, call = answer.load.lines[0].split()[1], answer.load.lines[1]
    others = [one for one in answers if one != name and one.replace("/", "@") not in answer.stages]
    own = "" if any(stage.startswith("pretrain@") for stage in answer.stages) or not others else name
    return {
        "text": _texts(name, others, answers) if own else known(answer.data, _text),
        "cost": cost_sentence(summary) + (f" {_cost_of(answer)}" if own else ""),
        "quality": known(answer.quality, lambda quality: _quality(quality, rows, own)) + _earlier(answers),
        "rebuild": _rebuild(answer.rebuild),
        "load": f"with {tool.capitalize()}: {call.removeprefix('model = ')}.",
    }


def _texts(name: str, others: list[str], answers: Mapping[str, ModelAnswers]) -> str:
    """As `_text`, of a model whose base was made elsewhere, and of the others, which this pipeline's text made."""
    data = next((one for other in others if not isinstance(one := answers[other].data, NotKnown)), None)
    own = f"{name}: {known(answers[name].data, _text).rstrip('.')}."
    return own + (f" The other models: {_text(data)}" if data else "")


def _cost_of(answer: ModelAnswers) -> str:
    """Energy of the stages behind one model alone."""
    words = known(answer.cost, lambda cost: _bounded([1000 * value for value in cost.kwh], "Wh"))
    return f"That is all models together; {answer.model}: {words}."


def _text(data: DataAnswer) -> str:
    generated = f", and {data.generated:,} generated short texts" if data.generated else ""
    quarantined = f" and {data.quarantined:,} are quarantined" if data.quarantined else ""
    megabytes = data.num_bytes / 1e6
    size = f"{megabytes:,.0f}" if megabytes >= 10 else f"{megabytes:.2g}"
    return (
        f"{data.documents:,} documents ({size} MB; {licence_words(data.licences, 3)}){generated}{seen_words(data)}; "
        f"filters had removed {sum(row.documents for row in data.removed):,} more{quarantined}{left_out_words(data)}."
    )


def cost_sentence(summary: Summary) -> str:
    """Energy and carbon of the runs behind these artifacts, what of it rests on constants, and the forecast."""
    cost = summary.cost
    if not cost.total.kwh[1]:
        return "Not known: the ledger has no completed run of these artifacts."
    forecast = forecast_of(cost.stages, summary.forecasts)
    said = (
        "it was not forecast"
        if isinstance(forecast, NotKnown)
        else f"{forecast.actual_kwh * 1000:.2g} Wh of it were forecast as {forecast.kwh * 1000:.2g}"
    )
    pue = f"; PUE {cost.pue:g}{', assumed' if cost.pue_source.startswith('assumed') else ''}" if cost.pue != 1 else ""
    return (
        f"{_bounded([1000 * value for value in cost.total.kwh], 'Wh')} and "
        f"{_bounded(cost.total.grams, 'g CO2e', pue)}, failed runs included; "
        f"{cost.shares['constants']:.0%} of the energy rests on constants (memory {cost.shares['memory']:.0%}); {said}."
    )


def _bounded(row: Triple, unit: str, more: str = "") -> str:
    low, mid, high = (f"{value:.2g}" for value in row)
    return f"{mid} {unit} ({low} to {high}{more})"


def _quality(quality: QualityAnswer, rows: list[ScoreRow], own: str) -> str:
    """How many scores of all models are better than their rules, and of `own`, a model that stands apart, if given."""
    compared = [row for row in rows if row.score.baseline is not None and not row.score.baseline_needs_model]
    better = [row.name for row in compared if above(row.score)]
    champion = quality.champion
    against = ""
    if not isinstance(champion, NotKnown):
        first = champion.champion.endswith(" version 1")  # no gate let it pass: there was nothing to compare it with
        this = "the first registered, so champion by default" if first else "the champion"
        it = own or "it"
        against = f"; {it} is {this}" if champion.is_this else f"; {direction_words(champion)}"
    whose = [row for row in compared if row.score.of == own]
    apart = f", {sum(above(row.score) for row in whose)} of the {len(whose)} of {own}" if own else ""
    skipped = f"; {len(quality.skipped)} tasks were skipped" if quality.skipped else ""
    return (
        f"{len(better)} of the {len(compared)} main scores {'of all models ' if own else ''}with a rule that needs no "
        f"model as baseline are better than it{apart}, in one training (other seeds: greenhouse study seeds){against}"
        f"{skipped}."
    )


def _earlier(answers: Mapping[str, ModelAnswers]) -> str:
    """A sentence on the models that evaluate has not scored as they are; empty if it has scored all."""
    known_scores = [one.quality for one in answers.values() if isinstance(one.quality, QualityAnswer)]
    names = dict.fromkeys(name for quality in known_scores for name in quality.scored_earlier)
    return f" {earlier_words(names)}." if names else ""


def _rebuild(rebuild: RebuildAnswer) -> str:
    verified = known(rebuild.verified, lambda last: f"done on {last.at[:10]}, {last.result}")
    if isinstance(rebuild.verified, NotKnown):
        verified = "nobody has done so here yet"
    commit, lock = _short(rebuild.commit), _short(rebuild.dvc_lock)
    if rebuild.experiment:
        return (
            f"DVC experiment {rebuild.experiment}, which keeps code and parameters (dvc.lock {lock}), rebuilds it by "
            f"{rebuild.command}; {verified}."
        )
    if commit.endswith("+changes"):
        return (
            f"Not from a commit: tracked files differed from {commit.removesuffix('+changes')} (dvc.lock {lock}); "
            f"commit them, then {rebuild.command}; {verified}."
        )
    return f"Commit {commit} with dvc.lock {lock} rebuilds it by {rebuild.command}; {verified}."


def _short(value: str | NotKnown) -> str:
    """The first digits of a hash, and `+changes` if it has that."""
    if isinstance(value, NotKnown):
        return "(not known)"
    digits, plus, changes = value.partition("+")
    return digits[:10] + plus + changes

"""The five answers of a run in a sentence each: the head of the report, and the first lines of the end table."""

from collections.abc import Mapping

from components.stages.account.answer_text import (
    data_sentence,
    direction_words,
    earlier_words,
    forecast_text,
    known,
    rebuild_sentence,
    spent_text,
    watt_hours,
)
from components.stages.account.answers import ModelAnswers, NotKnown, QualityAnswer
from components.stages.account.model_answers import forecast_of
from components.stages.account.score_rows import ScoreRow
from components.stages.account.summary import FURTHER_MODELS
from components.stages.account.types import Summary

QUESTIONS = {
    "text": "What was it trained on?",
    "cost": "What did it cost?",
    "quality": "How good is it?",
    "rebuild": "Can it be rebuilt?",
    "load": "Can it be loaded?",
}
ORDER = ("finetune/instruct", *FURTHER_MODELS, "pretrain/causal", "finetune/classify", "pretrain/masked")
"""The model that stands for a run: the first of these tuned on rows of one's own, else the first there is."""


def five_sentences(summary: Summary, answers: Mapping[str, ModelAnswers], rows: list[ScoreRow]) -> dict[str, str]:
    """Question (a key of `QUESTIONS`) -> one sentence; a question that cannot be answered says why."""
    much = "".join(f"Much was removed: {line}. " for line in summary.losses)
    if not (name := main_model(answers)):
        unknown = "Not known: no model has been trained here yet."
        return dict.fromkeys(QUESTIONS, unknown) | {"text": much + unknown, "cost": cost_sentence(summary)}
    answer = answers[name]
    others = [one for one in answers if one != name and one.replace("/", "@") not in answer.stages]
    alone = "" if any(stage.startswith("pretrain@") for stage in answer.stages) or not others else name
    audit = f" Bias audit: {summary.audit}." if summary.audit else ""
    first = f"{use}. The network: " if (use := to_use(answer)) else ""
    first += f"after `{answer.load.first}`, " if answer.load.first else ""
    energy = known(answer.cost, lambda cost: watt_hours(cost.kwh))
    return {
        "text": much + (_texts(name, others, answers) if alone else known(answer.data, data_sentence)) + audit,
        "cost": cost_sentence(summary) + (f" That is all models together; {alone}: {energy}." if alone else ""),
        "quality": known(answer.quality, lambda quality: _quality(quality, rows, name, alone)) + _earlier(answers),
        "rebuild": rebuild_sentence(answer.rebuild),
        "load": f"{first}with {answer.load.tool}: {answer.load.call}.",
    }


def main_model(answers: Mapping[str, ModelAnswers]) -> str:
    """The model that stands for a run; "" if there is none."""
    present = [name for name in ORDER if name in answers]
    tuned = [name for name in present if answers[name].facts.finetuning.get("rows")]
    return next(iter([*tuned, *present]), "")


def to_use(answer: ModelAnswers) -> str:
    """Which of a classifier's two models to use; "" of other models."""
    return answer.facts.task.get("advice", "").partition(":")[0]


def _texts(name: str, others: list[str], answers: Mapping[str, ModelAnswers]) -> str:
    """The text of a model whose base was made elsewhere, and of the others, which this pipeline's text made."""
    data = next((one for other in others if not isinstance(one := answers[other].data, NotKnown)), None)
    sentence = f"{name}: {known(answers[name].data, data_sentence).rstrip('.')}."
    return sentence + (f" The other models: {data_sentence(data)}" if data else "")


def cost_sentence(summary: Summary) -> str:
    """Energy and carbon of the runs behind these artifacts, what of it rests on constants, and the forecast."""
    cost = summary.cost
    if not cost.total.kwh[1]:
        return "Not known: the ledger has no completed run of these artifacts."
    forecast = forecast_of(cost.stages, summary.forecasts)
    note = "it was not forecast" if isinstance(forecast, NotKnown) else forecast_text(forecast)
    pue = f"; PUE {cost.pue:g}" if cost.pue != 1 else ""
    pue += ", assumed" if cost.pue_assumed else ""
    return (
        f"{spent_text(cost.total.kwh, cost.total.grams, pue)}, all stages and what ran around them, failed runs too; "
        f"{cost.shares['constants']:.0%} of it rests on constants that no key sets "
        f"(memory {cost.shares['memory']:.0%}, idle {cost.shares.get('idle', 0.0):.0%}); {note}."
    )


def _quality(quality: QualityAnswer, rows: list[ScoreRow], name: str, alone: str) -> str:
    """Verdicts on the scores of all models, and on `name`, whose quality it is; `alone` if it stands apart."""
    counted = [row for row in rows if row.verdict]
    learned = [row.score.has_learned for row in rows if row.score.ceiling is not None]
    champion = quality.champion
    against = ""
    if not isinstance(champion, NotKnown):
        this = "champion as the first of its name, compared with none" if champion.is_first else "the champion"
        against = f"; {name} is {this}" if champion.is_this else f"; {direction_words(champion)}"
    skipped = f"; {len(quality.skipped)} tasks were skipped" if quality.skipped else ""
    words = ", ".join(
        f"{sum(row.mark == sign for row in counted)} {word} ({sign})"
        for word, sign in (("better", "+"), ("not shown", "~"), ("worse", "-"))
    )
    better = [row.verdict == "better" for row in counted if row.score.model == alone]
    of_model = f", {sum(better)} better of the {len(better)} of {alone}" if alone else ""
    head = f"Of {len(rows)} scores{' of all models' if alone else ''}, {len(counted)} held against counting"
    none = len(rows) - len(counted) - len(learned)
    others = ", the others not shown (~)" if not all(learned) else ""
    abilities = f"; {sum(learned)} of {len(learned)} abilities learned (=){others}" if learned else ""
    return f"{head}: {words}{of_model}{abilities}; {none} held against no rule (no sign){against}{skipped}."


def _earlier(answers: Mapping[str, ModelAnswers]) -> str:
    """A sentence on the models that evaluate has not scored as they are; empty if it has scored all."""
    known_scores = [one.quality for one in answers.values() if isinstance(one.quality, QualityAnswer)]
    names = dict.fromkeys(name for quality in known_scores for name in quality.scored_earlier)
    return f" {earlier_words(names)}." if names else ""

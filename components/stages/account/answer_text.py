"""The five answers as plain sentences, and as a page of a terminal."""

import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from components.stages.account.answers import (
    TUNED_ON,
    AgainstChampion,
    CostAnswer,
    DataAnswer,
    Forecast,
    ModelAnswers,
    NotKnown,
    QualityAnswer,
    RebuildAnswer,
    Removed,
    Score,
)
from components.stages.account.types import Triple

WIDTH = 100
MOST_SCORES, MOST_REASONS = 10, 3
UNSTATED = "NOASSERTION"
"""SPDX's word for a source that states no licence, or one that is no SPDX expression."""
_Fact = TypeVar("_Fact")


def known(value: _Fact | NotKnown, text: Callable[[_Fact], str]) -> str:
    """A fact as text, or why it is not known."""
    return f"not known: {value.not_known}" if isinstance(value, NotKnown) else text(value)


def sentences(answers: ModelAnswers) -> dict[str, str]:
    """The five answers, one paragraph each, by their names: data, cost, quality, rebuild, load."""
    return {
        "data": " ".join(
            [
                f"{known(answers.data, data_text).rstrip('.')}.",
                *(one for one in answers.limits if one.startswith(TUNED_ON)),
            ]
        ),
        "cost": known(answers.cost, cost_text),
        "quality": known(answers.quality, lambda quality: quality_text(quality, answers.model)),
        "rebuild": rebuild_text(answers.rebuild),
        "load": "; ".join([*([f"`{answers.load.first}`"] if answers.load.first else []), *answers.load.lines]),
    }


def data_text(data: DataAnswer) -> str:
    """Licences, and who was removed by what."""
    removed = [f"{row.rule} {row.documents:,}" for row in sorted(data.removed, key=lambda row: -row.documents)]
    gone = sum(row.documents for row in data.removed)
    return (
        f"{data.documents:,} documents ({data.num_bytes / 1e6:.1f} MB), by licence: {licence_words(data.licences)}; "
        f"{data.generated:,} generated ones beside them{seen_words(data)}. Removed: {gone:,} documents"
        + (f" ({', '.join(removed[:5])}{', ...' if len(removed) > 5 else ''})" if removed else "")
        + (f", {data.quarantined:,} quarantined" if data.quarantined else "")
        + left_out_words(data)
        + f". Who: {known(data.groups, _who)}."
    )


def licence_words(licences: Mapping[str, int], most: int = 4) -> str:
    """The most frequent licences with their documents, and how many documents have none."""
    stated = sorted((row for row in licences.items() if row[0] != UNSTATED), key=lambda row: -row[1])
    words = [f"{name} {number:,}" for name, number in stated[:most]]
    if len(stated) > most:
        words[-1] += f" and {len(stated) - most} more licences"
    if number := licences.get(UNSTATED):
        words.append(f"no SPDX licence {number:,}")
    return ", ".join(words)


def left_out_words(data: DataAnswer) -> str:
    """`, and 3 files, 0.2 MB, were not read (2 x reason)`, what lost most bytes first; empty if all were read."""
    if not (files := sum(data.left_out.values())):
        return ""
    reasons = [f"{n:,} x {reason}" for reason, n in data.left_out.items()]
    shown = "; ".join(reasons[:MOST_REASONS]) + ("; ..." if len(reasons) > MOST_REASONS else "")
    size = f", {data.left_out_bytes / 1e6:.3g} MB," if data.left_out_bytes else ""
    noun, verb = ("file", "was") if files == 1 else ("files", "were")
    return f", and {files:,} {noun}{size} {verb} not read ({shown})"


def seen_words(data: DataAnswer) -> str:
    """`, 936,392 tokens in all, of which pretraining read 13%`, more if it repeats; empty if not known."""
    if not data.num_tokens or not data.tokens_seen:
        return ""
    return f", {data.num_tokens:,} tokens in all, of which pretraining read {data.tokens_seen / data.num_tokens:.0%}"


def _who(groups: list[Removed]) -> str:
    """The groups that lost the largest share."""
    lost = sorted((row for row in groups if row.documents), key=lambda row: row.documents / row.of, reverse=True)
    if not lost:
        return "no document that mentions a group of people was removed as toxic"
    return "the toxicity filter removed " + ", ".join(
        f"{row.documents:,} of {row.of:,} documents that mention {row.rule}" for row in lost[:3]
    )


def cost_text(cost: CostAnswer) -> str:
    """Energy and carbon with bounds, failed and resumed runs, and the forecast."""
    early = (
        f"{cost.attempts} runs that failed, were stopped or resumed"
        if cost.attempts
        else "no run of just these inputs ended early"
    )
    first, last = cost.stages[0], cost.stages[-1]
    behind = f"the {len(cost.stages)} stages behind it, {first} to {last}" if first != last else f"{last} alone"
    missing = f" Not in this ledger: {', '.join(cost.missing)}." if cost.missing else ""
    return (
        f"{watt_hours(cost.kwh)} Wh, {bounds(cost.grams)} g CO2e for {behind}, "
        f"without evaluation and what ran around them ({watt_hours(cost.attempts_kwh, early)}); "
        f"its own stage {cost.own_kwh[1] * 1000:.3g} Wh. "
        f"Forecast: {known(cost.forecast, forecast_text)}. "
        f"Energy: {cost.how}.{missing}"
    )


def forecast_text(forecast: Forecast) -> str:
    """Forecast and actual energy of the stages that had a forecast."""
    kwh, actual = (1000 * value for value in (forecast.kwh, forecast.actual_kwh))
    return f"{kwh:.3g} Wh for {len(forecast.stages)} of them, which took {actual:.3g}"


def bounds(row: Triple, form: str = ".3g") -> str:
    """`2 (1 to 3)`."""
    low, mid, high = (format(value, form) for value in row)
    return f"{mid} ({low} to {high})"


def watt_hours(kwh: Triple, of: str = "") -> str:
    """kWh as Wh; with `of`, what of it was spent on runs that did not complete."""
    text = bounds([1000 * value for value in kwh])
    return text if not of else f"{of}: {text} Wh of it" if kwh[1] else of


def quality_text(quality: QualityAnswer, model: str) -> str:
    """Scores that stand for the model, and how it compares with the champion."""
    own = [score for score in quality.scores if score.of == model]
    chosen = [score for score in own if score.headline] or own or quality.scores
    said = [f"{'; '.join(map(score_text, chosen[:3]))}.", f"Champion: {known(quality.champion, champion_text)}."]
    return " ".join([*said, *([f"{earlier_words(quality.scored_earlier)}."] if quality.scored_earlier else [])])


def earlier_words(models: Iterable[str]) -> str:
    """Which models evaluate hasn't scored as they are, and what to do."""
    names = ", ".join(models)
    return (
        f"Evaluate has not scored {names} as it is now, but earlier weights, whose scores are left out; "
        "`greenhouse run` to its end scores it"
    )


def score_text(score: Score) -> str:
    """`accuracy 0.900 [0.800, 1.000], chance 0.500`."""
    interval = "" if score.low is None or score.high is None else f" [{score.low:.3f}, {score.high:.3f}]"
    base = "" if score.baseline is None else f", {score.baseline_name or 'baseline'} {score.baseline:.3f}"
    caveat = f" ({score.caveat})" if score.caveat else ""
    return f"{score.name} {score.value:.3f}{interval}{base}{caveat}"


def champion_text(against: AgainstChampion) -> str:
    """How many scores differ from the champion's, which way, and the first of them."""
    if against.is_this:
        return f"it is {against.champion}"
    sure = [change for change in against.changes if change.significant]
    changed = ", ".join(f"{change.name} {change.champion:.3f} -> {change.this:.3f}" for change in sure[:3])
    return f"{direction_words(against)} (compared {against.compared})" + (f": {changed}" if changed else "")


def direction_words(against: AgainstChampion) -> str:
    """`of 5 scores 2 are better and 1 worse than those of ..., beyond chance`."""
    sure = [change for change in against.changes if change.significant]
    better = sum(change.improvement > 0 for change in sure)
    if len(against.changes) == 1:
        how = "does not differ from" if not sure else "is better than" if better else "is worse than"
        return f"the one score compared {how} that of {against.champion}, beyond chance"
    return (
        f"of {len(against.changes)} scores {better} are better and {len(sure) - better} worse than those of "
        f"{against.champion}, beyond chance"
    )


def rebuild_text(rebuild: RebuildAnswer) -> str:
    """Commit, hashes, and the last verification."""
    verified = known(rebuild.verified, lambda last: f"{last.result} on {last.at} ({last.processor})")
    facts = [("commit", rebuild.commit), ("dvc.lock", rebuild.dvc_lock), ("model", rebuild.model)]
    return ", ".join(f"{name} {known(value, str)}" for name, value in facts) + (
        f". Rebuilt and compared: {verified}. Again: `{rebuild.command}`"
    )


# -- a page of a terminal ----------------------------------------------------------------------------------------------


def page(answers: ModelAnswers) -> str:
    """Lines of `WIDTH` columns, always with as many scores, so that two pages can be laid side by side."""
    facts, said = answers.facts, sentences(answers)
    lines = [
        f"{answers.title} ({answers.kind} {answers.state})" if answers.state != answers.kind
        else f"{answers.title} ({answers.state})",
        f"{facts.parameters / 1e6:.2f} M parameters, {facts.objective}, context {facts.shape.get('context')} tokens"
        + (f", {facts.task['title']}" if facts.task.get("title") else ""),
    ]  # fmt: skip
    lines += _paragraph("licence", known(answers.licence, str))
    for name in ("data", "cost", "quality"):
        lines += ["", *_paragraph(name, said[name])]
    scores = [] if isinstance(answers.quality, NotKnown) else list(_score_lines(answers.quality))
    rest = ["", *_paragraph("rebuild", said["rebuild"]), "", *_load(answers)]
    left_out = len(scores) - 1 - MOST_SCORES  # the first line names the columns
    shown = scores[: MOST_SCORES + 1] + [f"{'':<10}and {left_out} more: --json"] * (left_out > 0)
    return "\n".join(line[:WIDTH].rstrip() for line in [*lines, *shown, *rest]) + "\n"


def _paragraph(name: str, text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=f"{name:<10}", subsequent_indent=" " * 10, break_long_words=False)


def _score_lines(quality: QualityAnswer) -> Iterator[str]:
    if quality.scores:
        yield f"{'':<10}{'score':<42}{'value':>8}{'interval':>18}{'baseline':>10}  of"
    for score in sorted(quality.scores, key=lambda row: not row.headline):
        interval = "" if score.low is None or score.high is None else f"[{score.low:.3f}, {score.high:.3f}]"
        base = "" if score.baseline is None else f"{score.baseline:.3f}"
        yield f"{'':<10}{score.name[:41]:<42}{score.value:>8.3f}{interval:>18}{base:>10}  {score.of.split('/')[-1]}"


def _load(answers: ModelAnswers) -> list[str]:
    first, second = answers.load.lines
    before = [f"{'load':<10}$ {answers.load.first}"] if answers.load.first else []
    return [*before, f"{'' if before else 'load':<10}{first}", f"{'':<10}{second}"]

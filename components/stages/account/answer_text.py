"""The five answers as plain sentences."""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from components.core.plain_text import counted
from components.reporting.tables import interval, ranged
from components.scores import Score
from components.stages.account.answers import (
    AgainstChampion,
    CostAnswer,
    DataAnswer,
    Forecast,
    ModelAnswers,
    NotKnown,
    QualityAnswer,
    RebuildAnswer,
    Removed,
)
from components.stages.account.types import Triple

MOST_REASONS = 3
OVER_LIMIT = "over_limit"
"""Rule by which ingest leaves out what is beyond `max_megabytes` of a source: a size, no judgement of the text."""
UNSTATED = "NOASSERTION"
"""SPDX's word for a source that states no licence, or one that is no SPDX expression."""
_Fact = TypeVar("_Fact")


def known(value: _Fact | NotKnown, text: Callable[[_Fact], str]) -> str:
    """A fact as text, or why it is not known."""
    return f"not known: {value.not_known}" if isinstance(value, NotKnown) else text(value)


def sentences(answers: ModelAnswers) -> dict[str, str]:
    """The five answers, one paragraph each, by their names: data, cost, quality, rebuild, load."""
    data = f"{known(answers.data, data_text).rstrip('.')}."
    first = [f"`{answers.load.first}`"] if answers.load.first else []
    return {
        "data": " ".join([data, *map(own_rows_text, answers.own_rows)]),
        "cost": known(answers.cost, cost_text),
        "quality": known(answers.quality, lambda quality: quality_text(quality, answers.model)),
        "rebuild": rebuild_text(answers.rebuild),
        "load": "; ".join([*first, *answers.load.lines]),
    }


# -- data --------------------------------------------------------------------------------------------------------------


def data_text(data: DataAnswer) -> str:
    """The sentence on the text, then what was removed by which rule, and of whom."""
    removed = [f"{row.rule} {row.documents:,}" for row in sorted(data.removed, key=lambda row: -row.documents)]
    rules = f" Removed by {', '.join(removed[:5])}{' and other rules' if len(removed) > 5 else ''}." if removed else ""
    audit = f" Audit: {data.audit}." if data.audit else ""
    unjudged = f" ({data.unjudged})" if data.unjudged and not isinstance(data.groups, NotKnown) else ""
    return f"{data_sentence(data, 4)}{rules} Who: {known(data.groups, _removed)}{unjudged}.{audit}"


def data_sentence(data: DataAnswer, most_licences: int = 3) -> str:
    """Documents, licences, what was generated beside them, and what filters removed."""
    generated = f", and {data.generated:,} generated short texts" if data.generated else ""
    quarantined = f" and {data.quarantined:,} are quarantined" if data.quarantined else ""
    megabytes = data.num_bytes / 1e6
    size = f"{megabytes:,.0f}" if megabytes >= 10 else f"{megabytes:.2g}"
    licences = licence_words(data.licences, most_licences)
    beyond = sum(row.documents for row in data.removed if row.rule == OVER_LIMIT)
    removed = f"{sum(row.documents for row in data.removed) - beyond:,} more"
    if beyond:
        removed += f", {beyond:,} were beyond the limit of their source"
    return (
        f"{counted(data.documents, 'document')} ({size} MB; {licences}){generated}{seen_words(data)}; "
        f"filters had removed {removed}{quarantined}{left_out_words(data)}."
    )


def own_rows_text(name: str) -> str:
    """That a model was tuned on rows which no stage has read."""
    return f"It was tuned on rows of {name}, whose licence and origin are not recorded here."


def withdrawn_text(answers: ModelAnswers) -> list[str]:
    """The warning of a model that was withdrawn; none of others."""
    return [f"Do not use it: {answers.withdrawn}."] if answers.withdrawn else []


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
    return f", and {counted(files, 'file')}{size} {'was' if files == 1 else 'were'} not read ({shown})"


def seen_words(data: DataAnswer) -> str:
    """`, 936,392 tokens in all, of which pretraining read 13%`, more if it repeats; empty if not known."""
    if not data.num_tokens or not data.tokens_seen:
        return ""
    return f", {data.num_tokens:,} tokens in all, of which pretraining read {data.tokens_seen / data.num_tokens:.0%}"


def _removed(groups: list[Removed]) -> str:
    """The groups that lost the largest share."""
    lost = sorted((row for row in groups if row.documents), key=lambda row: row.documents / row.of, reverse=True)
    if not lost:
        return "no document that mentions a group of people was removed as toxic"
    return "the toxicity filter removed " + ", ".join(
        f"{row.documents:,} of {row.of:,} documents that mention {row.rule}"
        + (" (too few to compare)" if row.too_few else f" ({row.note})" if row.note else "")
        for row in lost[:3]
    )


# -- cost --------------------------------------------------------------------------------------------------------------


def cost_text(cost: CostAnswer) -> str:
    """Energy and carbon with bounds, failed and resumed runs, and the forecast."""
    early = "no run on the way to it ended early"
    if cost.attempts:
        early = f"{counted(cost.attempts, 'run')} that failed, stopped or resumed, of these inputs or in this checkout"
        early += f": {watt_hours(cost.attempts_kwh)} of it, in these stages alone" if cost.attempts_kwh[1] else ""
    first, last = cost.stages[0], cost.stages[-1]
    behind = f"the {len(cost.stages)} stages behind it, {first} to {last}" if first != last else f"{last} alone"
    missing = f" Not in this ledger: {', '.join(cost.missing)}." if cost.missing else ""
    return (
        f"{spent_text(cost.kwh, cost.grams)} for {behind}, without evaluation and what ran around them "
        f"({early}); its own stage {cost.own_kwh[1] * 1000:.3g} Wh. "
        f"Forecast: {known(cost.forecast, forecast_text)}. Energy: {cost.how}.{missing}"
    )


def spent_text(kwh: Triple, grams: Triple, more: str = "") -> str:
    """Energy and carbon with their bounds; `more` stands beside those of the carbon."""
    return f"{watt_hours(kwh)} and {ranged(grams, 'g CO2e', '.2g', more)}"


def watt_hours(kwh: Triple) -> str:
    """kWh as Wh, with bounds."""
    return ranged([1000 * value for value in kwh], "Wh", ".2g")


def forecast_text(forecast: Forecast) -> str:
    """Forecast and actual energy of the stages that had a forecast."""
    return f"{forecast.actual_kwh * 1000:.2g} Wh of it were forecast as {forecast.kwh * 1000:.2g}"


# -- quality -----------------------------------------------------------------------------------------------------------


def quality_text(quality: QualityAnswer, model: str) -> str:
    """Scores that stand for the model, and how it compares with the champion."""
    of_model = [score for score in quality.scores if score.model == model]
    chosen = [score for score in of_model if score.headline] or of_model or quality.scores
    text = [f"{'; '.join(map(score_text, chosen[:3]))}.", f"Champion: {known(quality.champion, champion_text)}."]
    return " ".join([*text, *([f"{earlier_words(quality.scored_earlier)}."] if quality.scored_earlier else [])])


def earlier_words(models: Iterable[str]) -> str:
    """Which models evaluate hasn't scored as they are, and what to do."""
    names = ", ".join(models)
    return (
        f"Evaluate has not scored {names} as it is now, but earlier weights, whose scores are left out; "
        "`greenhouse run` to its end scores it"
    )


def score_text(score: Score) -> str:
    """`accuracy 0.900 [0.800, 1.000], chance 0.500`."""
    base = f", {reference_text(score)}" if score.baseline is not None else ""
    caveat = f" ({score.caveat})" if score.caveat else ""
    return f"{score.title} {interval(score.value, score.low, score.high)}{base}{caveat}"


def reference_text(score: Score) -> str:
    """The best rule of a score, or the one that has the whole ability it shows, and what that scores; "" if none."""
    name, value = score.reference
    return "" if value is None else f"{name or 'baseline'} {value:.3f}"


def champion_text(against: AgainstChampion) -> str:
    """How many scores differ from the champion's, which way, and the first of them."""
    if against.is_this:
        return f"it is {against.champion}"
    significant = [change for change in against.changes if change.significant]
    changed = ", ".join(f"{change.name} {change.champion:.3f} -> {change.this:.3f}" for change in significant[:3])
    return f"{direction_words(against)} (compared {against.compared})" + (f": {changed}" if changed else "")


def direction_words(against: AgainstChampion) -> str:
    """`on the same texts 2 of 5 scores are better and 1 worse than those of ...; ...`, then what the settings do."""
    significant = [change for change in against.changes if change.significant]
    better = sum(change.improvement > 0 for change in significant)
    by_settings = sum(change.by_settings for change in against.changes)
    settings = f"established in {by_settings}" if by_settings else "not established (`greenhouse study seeds`)"
    return (
        f"on the same texts, of {counted(len(against.changes), 'score')} {better} better and "
        f"{len(significant) - better} worse than {against.champion}; whether the change of settings does it: {settings}"
    )


# -- rebuild -----------------------------------------------------------------------------------------------------------


def rebuild_text(rebuild: RebuildAnswer) -> str:
    """The sentence, then the whole hashes and where the model was last rebuilt, or why these are not known."""
    facts = [("commit", rebuild.commit), ("dvc.lock", rebuild.dvc_lock), ("model", rebuild.model)]
    hashes = ", ".join(f"{name} {value}" for name, value in facts if not isinstance(value, NotKnown))
    last = known(rebuild.verified, lambda last: f"{last.at} on {last.processor}, {last.result}")
    return f"{rebuild_sentence(rebuild)} In full: {hashes or 'no hash is known'}; last rebuilt: {last}."


def rebuild_sentence(rebuild: RebuildAnswer) -> str:
    """From what the model is rebuilt, by which command, and whether it was."""
    verified = "nobody has done so here yet"
    if not isinstance(rebuild.verified, NotKnown):
        verified = f"done on {rebuild.verified.at[:10]}, {rebuild.verified.result}"
    if isinstance(rebuild.commit, NotKnown):
        return f"No commit is known to rebuild it: {rebuild.commit.not_known}; {verified}."
    commit, lock = _short(rebuild.commit), _short(rebuild.dvc_lock)
    if rebuild.experiment:
        return (
            f"DVC experiment {rebuild.experiment}, which keeps code and parameters (dvc.lock {lock}), rebuilds it by "
            f"{rebuild.command}; {verified}."
        )
    if rebuild.lacking:
        return f"Commit {commit} alone does not rebuild it: {rebuild.lacking}; {verified}."
    if commit.endswith("+changes"):
        return (
            f"Not from a commit: tracked files differed from {commit.removesuffix('+changes')} (dvc.lock {lock}); "
            f"commit them, then {rebuild.command}; {verified}."
        )
    with_lock = "" if isinstance(rebuild.dvc_lock, NotKnown) else f" with dvc.lock {lock}"
    return f"Commit {commit}{with_lock} rebuilds it by {rebuild.command}; {verified}."


def _short(value: str | NotKnown) -> str:
    """The first digits of a hash, and `+changes` if it has that."""
    if isinstance(value, NotKnown):
        return "(not known)"
    digits, plus, changes = value.partition("+")
    return digits[:10] + plus + changes

"""A run, and a model, as a page of plain text. Lines of 100 columns, always as many scores."""

import textwrap
from collections import Counter
from collections.abc import Mapping

from components.carbon.footprint import intensity
from components.core.plain_text import abbreviated
from components.reporting.tables import interval
from components.stages.account.answer_text import known, sentences
from components.stages.account.answers import ModelAnswers
from components.stages.account.five_sentences import five_sentences, main_model, to_use
from components.stages.account.model_card import TFIDF_FIRST, tfidf_lines
from components.stages.account.score_rows import ScoreRow, score_rows
from components.stages.account.types import Summary
from greenhouse_record.metering import constants

WIDTH = 100
MOST_SCORES = 10
"""Rows of scores, however long the texts around them are: the tables of two runs can be laid side by side."""
LABELS = {"text": "trained on", "cost": "cost", "quality": "quality", "rebuild": "rebuild", "load": "load"}
_WORLD = intensity.zone_mean("WORLD").mean
_NEAR = constants.bounds("yearly_mean_spread").high - 1
ZONE_HINT = (
    f"set runtime.grid.zone: grams within {_NEAR:.0%} of its yearly mean, "
    f"instead of {_WORLD.low:g} to {_WORLD.high:g} g/kWh"
)
"""How far a zone narrows grams, from the shipped table of intensities."""


def render_table(summary: Summary, answers: Mapping[str, ModelAnswers]) -> str:
    """The short table printed at the end of a run: the five answers, then scores beside their baselines."""
    every, code = score_rows(answers), list[str]()
    sentences = five_sentences(summary, answers, every)
    if name := main_model(answers):
        code, use = ["; ".join(answers[name].load.lines)], to_use(answers[name])
        if use.startswith(TFIDF_FIRST):
            use += f" (by the lines that `greenhouse card {name.partition('/')[2]}` shows). The network, in Python"
        sentences["load"] = f"{use or f'{name}, in Python'}:"
    head: list[str] = []
    for key, text in sentences.items():
        head += _labelled(LABELS[key], text)
        if key == "cost" and summary.cost.zone_missing:
            head += _labelled("", ZONE_HINT)
    foot = [
        "report      reports/report.html; model cards: reports/cards/; data: reports/summary.json",
        "next        .venv/bin/greenhouse chat | up (Prefect and MLflow) | plan --why (what would run)",
    ]
    caveats = [f"    {row.name}: {row.score.caveat}" for row in every if row.score.caveat]
    rows = score_rows(answers, MOST_SCORES)
    if left_out := Counter(row.mark for row in every if row not in rows):
        signs = ", ".join(f"{number} {mark.strip() or 'no sign'}" for mark, number in left_out.most_common())
        foot[0] = f"report      reports/report.html ({left_out.total()} more: {signs}); cards: reports/cards/"
    return _page(head) + "\n".join([*code, ""]) + _page([*_scores(rows), *caveats, *foot])


def load_lines(answers: ModelAnswers) -> list[str]:
    """Lines that load a model, whole, to be pasted: first those of TF-IDF, where it is advised."""
    network = "\n".join(answers.load.lines)
    folder = answers.load.call.partition('model="')[2].partition('"')[0]
    lines = [answers.load.first, network] if answers.load.first else [network]
    if to_use(answers).startswith(TFIDF_FIRST):
        where = f"{folder}/" if folder else ""
        lines[-1:] = [
            f"# TF-IDF{'' if where else ', in its folder'}",
            tfidf_lines(answers, where),
            "# network",
            network,
        ]
    return lines


def model_page(answers: ModelAnswers) -> str:
    """The five answers of one model, its scores and those of its base as in the table of a run."""
    facts, texts = answers.facts, {"licence": known(answers.licence, str)} | sentences(answers)
    state = answers.state if answers.state == answers.kind else f"{answers.kind} {answers.state}"
    number = f"{facts.parameters / 1e6:.2f} M" if facts.parameters else "an unknown number of"
    size = f"{number} parameters, {facts.objective}, context {facts.shape.get('context', 'of unknown')} tokens"
    head = [f"{answers.title} ({state})", *textwrap.wrap(facts.task.get("advice", ""), WIDTH)]
    head += textwrap.wrap(size + (f", {facts.task['title']}" if facts.task.get("title") else ""), WIDTH)
    if answers.base:
        revision = f", revision {facts.finetuning['base_revision']}" if facts.finetuning.get("base_revision") else ""
        head += _labelled("base", (facts.finetuning.get("base_name") or answers.base) + revision)
    for name in ("licence", "data", "cost", "quality", "rebuild"):
        head += _labelled(name, texts[name])
    every = score_rows({answers.model: answers})
    rows = score_rows({answers.model: answers}, MOST_SCORES)
    more = [f"and {len(every) - len(rows)} more: --json"] if len(every) > len(rows) else []
    # Lines of code are whole, however long they are.
    return _page([*head, "load"]) + "\n".join([*load_lines(answers), "", ""]) + _page([*_scores(rows), *more])


def _page(lines: list[str]) -> str:
    return "\n".join(abbreviated(line.rstrip(), WIDTH) for line in lines) + "\n"


def _labelled(label: str, text: str) -> list[str]:
    indent = f"{label:<12}"
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=" " * 12, break_long_words=False)


def _scores(rows: list[ScoreRow]) -> list[str]:
    """Lines of the table: meaning of the signs, header, a line per score, `t` where training had such exercises."""
    headings = f"{'intervals and = leave out seeds':<32}{'value (v: low is good)':<23}{'compared with':<22}"
    lines = [
        "+ better than counting, - worse, ~ not shown: over works and seeds (Holm); = learned; t: trained for",
        f"{headings}counterpart or gain",
    ]
    for row in rows:
        score = row.score
        value = f"{'v' if score.better == 'lower' else ' '} {interval(score.value, score.low, score.high)}"
        rule, of_rule = score.reference
        base = "" if of_rule is None else f"{of_rule:.3f} {rule}"
        marks = row.mark + ("t" if score.taught else " ")
        lines.append(f"{marks} {_short(row.name, 28):<29}{value:<22} {_short(base, 21):<22}{row.counterpart}")
    return lines if rows else []


def _short(text: str, width: int) -> str:
    return textwrap.shorten(text, width, placeholder=" ...")

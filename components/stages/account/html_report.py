"""The report: one self-contained HTML page: the five answers, what the model writes, scores, cost, then every stage."""

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from components.carbon.planning.forecast import ORCHESTRATION_NAME
from components.core.files import read_json
from components.reporting.tables import Page, interval, ranged
from components.stages.account.answer_text import reference_text
from components.stages.account.answers import ModelAnswers
from components.stages.account.five_sentences import QUESTIONS, five_sentences
from components.stages.account.model_card import environment
from components.stages.account.score_rows import ScoreRow, score_rows
from components.stages.account.summary import stage_reports
from components.stages.account.terminal_table import MOST_SCORES
from components.stages.account.types import Cost, Summary, Triple
from components.verdicts import COVERED

MAX_PICTURE_BYTES = 600_000
"""Larger pictures are left out of the page; they are in the stage's plots folder."""
MAX_SAMPLES = 3
LONG_CELL = re.compile(r"<td([^>]*)>([^<]{40,}|<code>[^<]{30,}</code>)</td>")
"""Cells of a Markdown table that may take several lines; all others keep to one."""


class Picture(NamedTuple):
    """A picture as data URL, with its caption; `narrow` replaces it on a small screen."""

    data: str
    caption: str
    narrow: str = ""


def render_html(
    summary: Summary,
    answers: Mapping[str, ModelAnswers],
    reports: Path,
    judgements: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> str:
    """The report as one self-contained page; `judgements` are the gate's verdict and the noise of seeds by model."""
    rows = score_rows(answers)
    texts = five_sentences(summary, answers, rows)
    scores = picture(reports / "scores.png")
    narrow = picture(reports / "scores-narrow.png")
    return environment().get_template("report.html.j2").render(
        summary=summary,
        made=_origin(summary, answers),
        judgements=judgements,
        answers=[(QUESTIONS[key], text) for key, text in texts.items()],
        samples=_samples(reports / "finetune" / "instruct" / "details" / "examples.json"),
        scores=scores and scores._replace(narrow=narrow.data if narrow else ""),
        first=_first(score_rows(answers, MOST_SCORES), len(rows)),
        documents=_documents(summary),
        costs=_costs(summary),
        pictures=_pictures([reports / f"{name}.png" for name in ("energy", "loss_per_gram", "forecast")]),
        facts=_cost_facts(summary),
        sections=[_section(stage, folder) for stage, folder in (stage_reports(reports) | _studies(reports)).items()],
    )  # fmt: skip


def _origin(summary: Summary, answers: Mapping[str, ModelAnswers]) -> str:
    """The run that made the newest of these outputs, its day, and the commit that rebuilds them; as far as known."""
    last = [
        f"run {row.run}, {row.ended[:10]}" for row in sorted(summary.cost.stages.values(), key=lambda row: row.ended)
    ]
    commits = [str(one.rebuild.commit)[:10] for one in answers.values() if isinstance(one.rebuild.commit, str)]
    return ", ".join([*last[-1:], *(f"commit {commit}" for commit in commits[:1])])


def _first(rows: Sequence[ScoreRow], total: int) -> str:
    """The scores that matter first, as in the table at the end of a run; the head counts all, so both are named."""
    body = []
    for row in rows:
        score = row.score
        value = interval(score.value, score.low, score.high)
        low = " (low is good)" if score.better == "lower" else ""
        body.append([row.name + low, value, reference_text(score), row.verdict_words, row.counterpart])
    columns = "score value compared_with verdict counterpart_or_gain"
    count = f"Of all {total} scores, which the head counts, these {len(rows)}. " if total > len(rows) else ""
    return _table(columns, body, count + COVERED) if body else ""


def _samples(path: Path) -> list[dict[str, str]]:
    """Prompts with what the model wrote before and after tuning: the shortest prompts, each answer once."""
    rows = read_json(path) if path.exists() else []
    unique = {row["after"]: row for row in sorted(rows, key=lambda row: -len(row["prompt"]))}
    chosen = sorted(unique.values(), key=lambda row: len(row["prompt"]))
    return chosen[:MAX_SAMPLES]


def _studies(reports: Path) -> dict[str, Path]:
    """Title -> folder of the studies made so far: their report is not among details, for no stage wrote it."""
    return {f"Study: {path.parent.name}": path.parent for path in sorted(reports.glob("*/report.md"))}


def _section(stage: str, folder: Path) -> dict[str, Any]:
    text = folder / "report.md" if (folder / "report.md").exists() else folder / "details" / "report.md"
    plots = sorted((folder / "plots").glob("*.png")) if (folder / "plots").is_dir() else []
    return {
        "stage": stage,
        "html": markdown(text.read_text(encoding="utf-8")) if text.exists() else "",
        "pictures": _pictures(plots),
    }


def markdown(text: str) -> str:
    """A stage's report as HTML. Raw HTML in it is shown, not obeyed: reports quote documents of anybody.

    Each cell of a table knows its column, which stands in it on a small screen.
    """
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    tokens, columns = parser.parse(text), list[str]()
    cells = iter(columns)
    for token, inside in pairwise(tokens):
        match token.type:
            case "thead_open":
                columns = []
            case "tr_open":
                cells = iter(columns)
            case "th_open":
                columns.append(inside.content)
            case "td_open":
                token.attrSet("data-column", next(cells))
    html = parser.renderer.render(tokens, parser.options, {})
    html = re.sub(LONG_CELL, r'<td\1 class="long">\2</td>', html)
    return html.replace("<table>", '<div class="wide"><table>').replace("</table>", "</table></div>")


def picture(path: Path) -> Picture | None:
    """A PNG and its caption (figures.py writes it into the file); None if there is none or it is too large."""
    from PIL import Image

    if not path.exists() or path.stat().st_size > MAX_PICTURE_BYTES:
        return None
    with Image.open(path) as image:
        caption = str(image.info.get("Description", "")) or f"{path.stem.replace('_', ' ')}."
    return Picture("data:image/png;base64," + base64.b64encode(path.read_bytes()).decode(), caption)


def _pictures(paths: Iterable[Path]) -> list[Picture]:
    return [image for path in paths if (image := picture(path))]


# -- tables ------------------------------------------------------------------------------------------------------------


def _table(columns: str, rows: list[list[str]], caption: str) -> str:
    """A caption and a table as HTML, with columns as in a stage's report (`Page.show`)."""
    page = Page("", None)
    page.show(columns, rows, caption)
    return markdown("\n\n".join(page.parts[1:]))


def _documents(summary: Summary) -> str:
    """Documents by stage; what mix adds to them is generated, and no document of a source."""
    rows = []
    for stage, row in summary.documents.items():
        generated = row.generated
        why = ", ".join(f"{rule} {count:,}" for rule, count in {**row.rules, **row.reasons, **generated}.items())
        counts = (row.num_in, row.kept - sum(generated.values()), row.dropped + row.quarantined, row.heldout)
        rows.append([stage, *(f"{count:,}" for count in counts), f"generated beside them: {why}" if generated else why])
    caption = "Documents of the sources on their way to the models, by stage."
    if "train" in summary.tokens and "heldout" in summary.tokens:
        train, heldout = (summary.tokens[split]["num_tokens"] for split in ("train", "heldout"))
        caption += (
            f" That makes {train:,} tokens to train on, generated text included, and {heldout:,} held-out ones, of a "
            f"vocabulary of {summary.tokens['vocab_size']:,}."
        )
    return _table("stage in to_train_on removed held_out by_which_rules", rows, caption)


def _costs(summary: Summary) -> list[str]:
    cost, project = summary.cost, summary.project
    rows = [
        [
            stage,
            f"{row.elapsed_s + row.attempts_s:.1f}",
            f"{row.cpu_s:.1f}",
            *_energy(row.kwh, row.grams),
            str(row.attempts),
        ]
        for stage, row in cost.stages.items()
    ]
    for name, whole in ((ORCHESTRATION_NAME, cost.orchestration), ("**total**", cost.total)):
        rows.append([name, "", f"{whole.cpu_s:.1f}", *_energy(whole.kwh, whole.grams), ""])
    runs = [
        [name, str(row["runs"]), f"{row['cpu_s']:.1f}", *_energy(row["kwh"], row["grams"])]
        for group in ("by_outcome", "by_run")
        for name, row in project[group].items()
    ]
    caption = (
        "All stages behind these outputs and what ran around them, failed runs included, low to high; "
        "attempts are runs that ended early."
    )
    return [
        _table("stage seconds CPU_seconds Wh g_CO2e attempts", rows, caption),
        _table("component how_it_was_obtained Wh share", _components(cost), "What the energy rests on."),
        _table(
            "runs processes CPU_seconds Wh g_CO2e",
            runs,
            "The project: runs by outcome, and each by itself, with the stage that writes this page, which the total "
            "above lacks.",
        ),
    ]


def _energy(kwh: Triple, grams: Triple) -> list[str]:
    return [ranged([1000 * value for value in kwh], form=".2g"), ranged(grams, form=".2g")]


def _spent(row: Mapping[str, Triple]) -> str:
    wh, grams = _energy(row["kwh"], row["grams"])
    return f"{wh} Wh, {grams} g CO2e"


def _components(cost: Cost) -> list[list[str]]:
    """Wh by component, and its share of all."""
    sums: dict[str, float] = {}
    for rows in (*cost.parts.values(), cost.orchestration_parts):
        for name, kwh in rows.items():
            sums[name] = sums.get(name, 0.0) + 1000 * kwh[1]
    total = sum(sums.values()) or 1.0
    methods = {name: source.replace(":", ": ") for name, source in cost.sources.items()}
    return [[name, methods[name], f"{wh:.3g}", f"{wh / total:.0%}"] for name, wh in sums.items()]


def _cost_facts(summary: Summary) -> list[str]:
    """Sentences on what the figures of the cost stand on."""
    cost, project = summary.cost, summary.project
    saved, rest = project["cache_saved"], project["unattributed"]
    return [
        f"Machine: {cost.hardware}; counter of busy time: {', '.join(cost.counters) or 'none'}.",
        f"Carbon intensity: {cost.intensity}.",
        f"PUE {cost.pue:g} ({cost.pue_source}) is counted in grams, not in Wh.",
        f"Making the machine: {ranged(cost.total.embodied_grams)} g CO2e more ({cost.embodied_source}).",
        f"Saved by DVC's cache: {_spent(saved)} in {saved['stages']} stage runs, by what each cost when it last ran.",
        f"Unattributed, what this machine used meanwhile for anything else: {_spent(rest)}.",
    ]

"""The report of the bias stage: representation, toxicity by group, disparate impact, and the limits of all of these."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from components.core.report import Report
from components.params import Bias
from components.reporting.figures import COLOURS, GREY, WIDTH, chart, figure, intervals, legend, save
from components.reporting.tables import Page
from components.stages.bias.counts import BiasCounts
from components.stages.bias.disparate_impact import (
    Columns,
    Impact,
    check_ratios,
    high_ratios,
    impacts,
    impacts_by_source,
)
from components.stages.bias.stratified_rates import POWER, rate
from components.stages.bias.template_probe import HARMLESS, HOSTILE, Probe, gap
from components.stages.bias.word_associations import MIN_EXPECTED, MIN_WORKS, SIGNIFICANT, associations, untested_share
from components.text.identity_terms import GROUPS, VERSION

SHOWN = 12
"""Rows of the table of associations that are shown; the file has all."""
IMPACT = (
    "group documents removed removal_rate removal_rate_low removal_rate_high removal_ratio removal_ratio_low "
    "removal_ratio_high p p_holm detectable_ratio removed_unmasked removal_ratio_unmasked works note"
)
"""Columns of disparate_impact.csv."""


def representation(counts: BiasCounts) -> list[dict]:
    """Documents that mention each group, per source, all and of those kept; shares are of those judged."""
    columns = Columns(counts)
    rows = []
    for index, source in enumerate(columns.names):
        mask = (columns.source == index) & columns.judged
        unjudged = columns.count((columns.source == index) & ~columns.judged)
        kept = mask & ~columns.dropped
        for bit, group in enumerate(GROUPS):
            members = columns.groups >> bit & 1 == 1
            before, after = columns.count(mask & members), columns.count(kept & members)
            shares = {"share": before / max(1, columns.count(mask)), "share_kept": after / max(1, columns.count(kept))}
            row = {"source": source, "group": group, "documents": before, "documents_kept": after} | shares
            rows.append(row | {"not_judged_language": unjudged})
    return rows


def toxicity(counts: BiasCounts, params: Bias) -> list[dict]:
    """Toxic sentences by source and group, as the text stands and with identity masked, with Wilson intervals."""
    rows = []
    for source, groups in sorted(counts.sentences.items()):
        rest = groups.get("", [0, 0, 0])
        for group in ["", *(name for name in GROUPS if name in groups)]:
            total, masked, raw = groups.get(group, [0, 0, 0])
            row: dict = {"source": source, "group": group or "(no group)", "sentences": total}
            row |= {"toxic": raw, "toxic_masked": masked}
            if total >= params.min_mentions:
                shown, hidden = rate(raw, total), rate(masked, total)
                row |= {"rate": shown.value, "low": shown.low, "high": shown.high, "rate_masked": hidden.value}
                row["times_no_group"] = shown.value / (rest[2] / rest[0]) if rest[0] and rest[2] else ""
            rows.append(row)
    return rows


# -- the report --------------------------------------------------------------------------------------------------------


def write_report(counts: BiasCounts, probes: dict[bool, list[Probe]], params: Bias, reports: Path) -> Report:
    """Tables, plots and the summary under `reports`.

    Raises:
        UserError: a group is removed too often; the report is there to be read.
    """
    rows, by_source = impacts(counts, params), impacts_by_source(counts, params)
    metrics, page = _metrics(counts, rows, probes, params), Page("Bias", reports)
    associated = associations(counts.together, params.min_mentions)
    linked = [row for row in associated if row["p_holm"] < SIGNIFICANT]
    metrics |= {"associations": len(linked), "untested_share": untested_share(counts.together, associated)}
    warnings = [*high_ratios(rows, params), *map(association_words, linked)]
    page.add(
        f"{metrics['documents_dropped']:,} of {metrics['documents_in']:,} documents dropped: more than "
        f"{params.max_toxic_share:.0%} of their sentences (and at least {params.min_toxic_sentences}) score above "
        f"{params.sentence_threshold} with `{params.scorer}`, identity {'' if params.mask_identity else 'not '}masked. "
        f"Without masking it would be {metrics['documents_dropped_unmasked']:,}.{not_judged(metrics)}",
    )
    _removal(page, rows, by_source, metrics, params)
    page.add(*(f"**Warning.** {warning}." for warning in warnings))
    _probe(page, probes, metrics, params)
    _language(page, associated, linked, metrics)
    mentioned, toxic = representation(counts), toxicity(counts, params)
    columns = "source group documents share documents_kept share_kept not_judged_language"
    page.table("mentions", columns, mentioned)
    columns = "source group sentences toxic toxic_masked rate low high rate_masked times_no_group"
    page.table("toxicity", columns, toxic)
    page.table("dropped_examples", " ".join(counts.examples[0]) if counts.examples else "reason", counts.examples)
    page.add(LIMITS.format(
        version=VERSION, unscored=metrics["unscored_sentence_share"], unjudged=metrics["documents_unjudged"]
    ))  # fmt: skip
    plot_impact(rows, params.max_removal_ratio, reports / "plots" / "removal_ratio.png")
    plot_mentions(mentioned, reports / "plots" / "mentions.png")
    plot_toxicity(toxic, reports / "plots" / "toxicity.png")
    report = Report(metrics, page.markdown, {"lexicon_version": VERSION, "warnings": warnings})
    report.write(reports)
    check_ratios([*rows, *by_source], params, reports)
    return report


def _metrics(counts: BiasCounts, rows: list[Impact], probes: dict[bool, list[Probe]], params: Bias) -> dict[str, float]:
    columns = Columns(counts)
    documents, dropped = counts.documents.total(), columns.count(columns.dropped)
    metrics: dict[str, float] = {
        "documents_in": documents,
        "documents_kept": documents - dropped,
        "documents_dropped": dropped,
        "documents_dropped_unmasked": columns.count(columns.dropped_raw),
        "documents_unjudged": columns.count(~columns.judged),
        "bytes_in": counts.bytes_in,
        "bytes_kept": counts.bytes_kept,
        "unscored_sentence_share": 1 - counts.num_scored / counts.num_sentences if counts.num_sentences else 0.0,
        "groups_compared": len(rows),
        "probe_gap": gap(probes[params.mask_identity]),
        "probe_gap_unmasked": gap(probes[False]),
        "probe_hits": _hits(probes[params.mask_identity]),
        "probe_hits_unmasked": _hits(probes[False]),
    }
    if rows:
        ratios = {"removal_ratio_max": [row.ratio.value for row in rows]}
        ratios["removal_ratio_max_unmasked"] = [row.ratio_unmasked.value for row in rows]
        for name, values in ratios.items():
            if finite := [value for value in values if math.isfinite(value)]:  # else nothing can be said, not "1"
                metrics[name] = max(finite)
        metrics["removal_ratio_sure"] = max(row.lower_bound(len(rows)) for row in rows)
    return metrics


def _hits(probes: list[Probe]) -> float:
    return sum(probe.true_positives for probe in probes) / sum(probe.hostile for probe in probes)


def not_judged(metrics: dict[str, float]) -> str:
    """A sentence that follows figures which hold for English alone; empty if all documents were judged."""
    unjudged, documents = metrics["documents_unjudged"], metrics["documents_in"]
    return f" Not judged: language: {unjudged:,} of {documents:,} documents." if unjudged else ""


def _removal(page: Page, rows: list[Impact], by_source: list[Impact], metrics: dict[str, float], params: Bias) -> None:
    """Tables of removal rates: all sources, and by source."""
    page.table("disparate_impact_by_source", f"source {IMPACT}", map(_impact_row, by_source))
    page.add("## Who is filtered")
    few = len(GROUPS) - len(rows)
    page.table(
        "disparate_impact", IMPACT, map(_impact_row, rows),
        "Removal rate of documents that mention a group, and its ratio to that of documents of the same source and "
        f"like length that do not (95% intervals; p corrected by Holm for {len(rows)} groups; the counts behind both "
        "are divided by how much more they vary over works than over documents). Works are those with a removed "
        "document, of the group or of the others. The detectable "
        f"ratio is the smallest that {POWER:.0%} of such audits would find: below it "
        "nothing is shown, and nothing ruled out. "
        f"{few} groups are in fewer than {params.min_mentions} judged documents and get no rate.{not_judged(metrics)}",
        "group documents removed removal_rate removal_ratio removal_ratio_low removal_ratio_high p_holm "
        "removal_ratio_unmasked detectable_ratio works note",
    )  # fmt: skip


def _impact_row(row: Impact) -> dict:
    """Row of disparate_impact.csv; what is infinite or unknown is an empty cell."""
    removed, ratio = row.removed, row.ratio
    numbers = (
        row.documents, removed.count, removed.value, removed.low, removed.high, ratio.value, ratio.low, ratio.high,
        ratio.p, row.p_corrected, row.detectable, row.removed_unmasked, row.ratio_unmasked.value,
    )  # fmt: skip
    cells = [value if math.isfinite(value) else math.nan for value in numbers]
    works = int(row.strata.works), row.strata.untold
    return {"source": row.source} | dict(zip(IMPACT.split(), (row.group, *cells, *works), strict=True))


def _probe(page: Page, probes: dict[bool, list[Probe]], metrics: dict[str, float], params: Bias) -> None:
    """The scorer on sentences that differ only in the group they are about."""
    page.add(
        "## The probe of the scorer",
        f"{len(HARMLESS)} harmless and {len(HOSTILE)} hostile templates per phrase. False-positive gap between groups: "
        f"{metrics['probe_gap']:.3f} as used (limit {params.max_probe_gap}), {metrics['probe_gap_unmasked']:.3f} "
        f"without masking. Hostile sentences found: {metrics['probe_hits']:.1%} as used, "
        f"{metrics['probe_hits_unmasked']:.1%} without. For terms of the "
        "lexicon the masked gap is 0 by construction; it measures `unlisted`, people the "
        "lexicon does not name.",
    )
    rows = [
        (plain.group, plain.harmless, plain.false_positives, masked.false_positives, plain.hostile,
         plain.true_positives, masked.true_positives)
        for masked, plain in zip(probes[True], probes[False], strict=True)
    ]  # fmt: skip
    page.table("probe", "group harmless flagged flagged_masked hostile hit hit_masked", rows)


def association_words(row: Mapping[str, Any]) -> str:
    """A finding as a warning."""
    often = f"{row['times_expected']:.2g} times as often as expected, {row['works']} works"
    return f"{row['source']}: `{row['word']}` in sentences on {row['group']} {often}"


def _language(page: Page, associated: list[dict], linked: list[dict], metrics: dict[str, float]) -> None:
    """Associations of groups with words that chance does not explain."""
    page.table("associations", " ".join(associated[0]) if associated else "source", associated)
    page.add("## What is said of whom")
    keys = ("source", "group", "word", "sentences_with_both", "works", "times_expected", "low", "high")
    page.show(
        "source group word sentences works times_expected times_expected_low times_expected_high",
        [[row[key] for key in keys] for row in linked[:SHOWN]],
        f"Occupations and qualities in the same sentence: {len(associated)} pairs tested, those with at least "
        f"{MIN_EXPECTED:.0f} expected sentences and {MIN_WORKS} works; {len(linked)} are together more often than "
        "chance, as sentences on no group have it, within a work (Fisher's test within works and a t-test over works, "
        "after Holm). What is rarer is no finding. "
        f"Of {metrics['untested_share']:.0%} of the sentences that mention a group no "
        f"word could be tested: too few of them, or of their works.{not_judged(metrics)}",
    )


LIMITS = """## What this cannot know

* A lexicon (version {version}, English) finds mention, not identity, not authorship. It does not see names, irony, who
  speaks, or a word's older sense, and it counts a king in a chess manual as a man.
* The scorer is a classifier with its own history. The default is a bag of words: it knows insults, not hostility, and a
  sentence in a language it does not know gets no score ({unscored:.1%} of sentences here). Documents surely not in
  English, or of which it knows less than half of the sentences, are kept unjudged ({unjudged:,} here), and nothing is
  said of groups in them.
* Equal removal rates do not make a corpus fair: what was never written or collected is in none of these tables. A large
  ratio is a reason to read dropped_examples.csv, not a verdict; a ratio near 1 with few removals is not an acquittal.
* Groups are compared one at a time; people belong to several."""


SHOWN_RATIOS = (0.02, 50.0)
"""Ends of the axis of ratios: what lies beyond is drawn at the edge."""


def plot_impact(rows: list[Impact], limit: float, path: Path) -> None:
    """Ratio of removal rates per group with its interval on a log axis, beside the ratio without masking."""
    rows = [row for row in rows if np.isfinite(row.ratio.value)]
    caption = (
        "How often documents that mention a group are removed, relative to others of their source and length; 1 is as "
        "often. A ratio is left out where no other document was removed, and drawn at the edge where it is beyond."
        if rows
        else "Nothing was removed that could be compared."
    )
    labels: dict[str, Any] = {"xscale": "log", "xlabel": "ratio of removal rates"}
    with chart(path, caption, 1.3 + 0.28 * max(4, len(rows)), **labels) as axes:
        ratios = np.clip([(row.ratio.value, row.ratio.low, row.ratio.high) for row in rows], *SHOWN_RATIOS)
        intervals(axes, [f"{row.group} ({row.documents:,})" for row in rows], ratios, "as used, 95% interval")
        known = [index for index, row in enumerate(rows) if np.isfinite(row.ratio_unmasked.value)]
        unmasked = np.clip([rows[index].ratio_unmasked.value for index in known], *SHOWN_RATIOS)
        axes.scatter(unmasked, known, marker="x", color=COLOURS[3], label="without masking", zorder=3)
        axes.axvline(1, color=GREY, lw=1)
        axes.axvline(limit, color=COLOURS[3], lw=1, ls="--", label=f"max_removal_ratio = {limit:g}")
        axes.xaxis.set_major_formatter("{x:g}")


def plot_mentions(rows: list[dict], path: Path) -> None:
    """Share of each source's documents that mention each group."""
    sources, groups = (list(dict.fromkeys(row[key] for row in rows)) for key in ("source", "group"))
    share = np.array([100 * row["share"] for row in rows]).reshape(len(sources), len(groups)).T
    with chart(path, "Per cent of each source's documents that mention a group.", 0.8 + 0.25 * len(groups)) as axes:
        if rows:
            axes.imshow(np.sqrt(share), aspect="auto", cmap="Greens", vmin=0, vmax=10)
        for (y, x), value in np.ndenumerate(share):
            text = f"{value:.0f}%" if value >= 10 or value == 0 else f"{value:.2g}%"
            axes.text(x, y, text, ha="center", va="center", fontsize=8, color="white" if value > 45 else "black")
        axes.set_xticks(range(len(sources)), sources)
        axes.set_yticks(range(len(groups)), groups)


def plot_toxicity(rows: list[dict], path: Path) -> None:
    """Share of toxic sentences by group within each source, with Wilson intervals; a panel per source."""
    sources = list(dict.fromkeys(row["source"] for row in rows)) or [""]
    shown = {source: [row for row in rows if row["source"] == source and "rate" in row] for source in sources}
    heights = [0.8 + 0.24 * max(2, len(members)) for members in shown.values()]
    drawing, grid = figure(WIDTH, sum(heights), rows=len(sources), height_ratios=heights)
    for axes, (source, members) in zip(grid, shown.items(), strict=True):
        rates = [[100 * row[key] for key in ("rate", "low", "high")] for row in members]
        names = [f"{row['group']} ({row['sentences']:,})" for row in members]
        intervals(axes, names, rates, "as written, 95% interval")
        masked = [100 * row["rate_masked"] for row in members]
        axes.scatter(masked, range(len(masked)), marker="|", s=90, color=COLOURS[3], zorder=3, label="identity masked")
        axes.set(title=source, xlabel="toxic sentences, %")
    legend(grid[0])
    save(drawing, path, "Sentences that score as toxic, by the group that they mention, within each source.")

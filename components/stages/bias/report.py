"""The report of the bias stage: representation, toxicity by group, disparate impact, and the limits of all of these."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from components.core.files import write_text
from components.core.report import Report
from components.params import Bias
from components.reporting.tables import as_csv, markdown_table
from components.stages.bias.counts import BiasCounts
from components.stages.bias.disparate_impact import (
    Columns,
    Impact,
    check_ratios,
    high_ratios,
    impacts,
    impacts_by_source,
)
from components.stages.bias.language_section import language_section, significant
from components.stages.bias.plots import plot_impact, plot_mentions, plot_toxicity
from components.stages.bias.sentiment import compared
from components.stages.bias.stratified_rates import POWER, rate
from components.stages.bias.template_probe import HARMLESS, HOSTILE, Probe, gap
from components.stages.bias.word_associations import associations
from components.text.identity_terms import GROUPS, VERSION


def representation(counts: BiasCounts) -> list[dict]:
    """Documents that mention each group, per source, all and of those kept."""
    columns = Columns(counts)
    rows = []
    for index, source in enumerate(columns.names):
        here = columns.source == index
        kept = here & ~columns.dropped
        for bit, group in enumerate(GROUPS):
            members = columns.groups >> bit & 1 == 1
            before, after = int((here & members).sum()), int((kept & members).sum())
            rows.append(
                {
                    "source": source,
                    "group": group,
                    "documents": before,
                    "share": before / int(here.sum()),
                    "documents_kept": after,
                    "share_kept": after / max(1, int(kept.sum())),
                }
            )
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
                found, hidden = rate(raw, total), rate(masked, total)
                row |= {"rate": found.value, "low": found.low, "high": found.high, "rate_masked": hidden.value}
                row["times_no_group"] = found.value / (rest[2] / rest[0]) if rest[0] and rest[2] else ""
            rows.append(row)
    return rows


# -- the report --------------------------------------------------------------------------------------------------------


def write_report(counts: BiasCounts, probes: dict[bool, list[Probe]], params: Bias, reports: Path) -> Report:
    """Tables, plots and the summary under `reports`.

    Raises:
        UserError: a group is removed too often; the report is there to be read.
    """
    rows, by_source = impacts(counts, params), impacts_by_source(counts, params)
    mentioned, toxic = representation(counts), toxicity(counts, params)
    details = reports / "details"
    write_text(details / "mentions.csv", as_csv(mentioned))
    write_text(details / "toxicity.csv", as_csv(toxic))
    write_text(details / "disparate_impact.csv", as_csv(map(_impact_row, rows)))
    write_text(details / "disparate_impact_by_source.csv", as_csv(_impact_row(row, row.source) for row in by_source))
    write_text(details / "probe.csv", as_csv(_probe_rows(probes)))
    write_text(details / "dropped_examples.csv", as_csv(counts.examples))
    sentiments = compared(counts.sentiment, params.min_mentions)
    associated = associations(counts.together, params.min_mentions)
    write_text(details / "sentiment.csv", as_csv(sentiments))
    write_text(details / "associations.csv", as_csv(associated))
    plot_impact(rows, params.max_removal_ratio, reports / "plots" / "removal_ratio.png")
    plot_mentions(mentioned, reports / "plots" / "mentions.png")
    plot_toxicity(toxic, reports / "plots" / "toxicity.png")
    warnings = high_ratios(rows, params)
    report = Report(_metrics(counts, rows, probes, params), "", {"lexicon_version": VERSION, "warnings": warnings})
    report.metrics |= {
        "sentiment_differences": len(significant(sentiments)),
        "associations": len(significant(associated)),
    }
    report.markdown = (
        _markdown(rows, report.metrics, params, warnings) + "\n" + language_section(sentiments, associated, params)
    )
    report.write(reports)
    check_ratios([*rows, *by_source], params, reports)
    return report


def _metrics(counts: BiasCounts, rows: list[Impact], probes: dict[bool, list[Probe]], params: Bias) -> dict[str, float]:
    scored, sentences = (sum(getattr(judged, name) for judged in counts.documents) for name in ("scored", "sentences"))
    metrics: dict[str, float] = {
        "documents_in": len(counts.dropped),
        "documents_kept": len(counts.dropped) - sum(counts.dropped),
        "documents_dropped": sum(counts.dropped),
        "documents_dropped_unmasked": sum(counts.dropped_raw),
        "documents_unjudged": sum(not judged.enough_scored for judged in counts.documents),
        "bytes_in": counts.bytes_in,
        "bytes_kept": counts.bytes_kept,
        "unscored_sentence_share": 1 - scored / sentences if sentences else 0.0,
        "groups_compared": len(rows),
        "probe_gap": gap(probes[params.mask_identity]),
        "probe_gap_unmasked": gap(probes[False]),
        "probe_hits": _hits(probes[params.mask_identity]),
        "probe_hits_unmasked": _hits(probes[False]),
    }
    if rows:
        metrics["removal_ratio_max"] = _largest(row.ratio.value for row in rows)
        metrics["removal_ratio_max_unmasked"] = _largest(row.ratio_unmasked.value for row in rows)
        metrics["removal_ratio_sure"] = max(row.lower_bound(len(rows)) for row in rows)
    return metrics


def _largest(values: Iterable[float]) -> float:
    """The largest finite value; 1 if there is none."""
    return max((value for value in values if math.isfinite(value)), default=1.0)


def _hits(probes: list[Probe]) -> float:
    return sum(each.true_positives for each in probes) / sum(each.hostile for each in probes)


def _impact_row(row: Impact, source: str = "") -> dict:
    """Row of disparate_impact.csv; what is infinite or unknown is an empty cell."""
    cells = {
        "documents": row.documents,
        "removed": row.removed.count,
        "removal_rate": row.removed.value,
        "removal_rate_low": row.removed.low,
        "removal_rate_high": row.removed.high,
        "removal_ratio": row.ratio.value,
        "removal_ratio_low": row.ratio.low,
        "removal_ratio_high": row.ratio.high,
        "p": row.ratio.p,
        "p_holm": row.p_corrected,
        "detectable_ratio": row.detectable,
        "removed_unmasked": row.removed_unmasked,
        "removal_ratio_unmasked": row.ratio_unmasked.value,
    }
    named = ({"source": source} if source else {}) | {"group": row.group}
    return named | {name: value if math.isfinite(value) else math.nan for name, value in cells.items()}


def _probe_rows(probes: dict[bool, list[Probe]]) -> list[dict]:
    rows = []
    for masked, plain in zip(probes[True], probes[False], strict=True):
        rows.append(
            {
                "group": plain.group,
                "harmless": plain.harmless,
                "flagged": plain.false_positives,
                "flagged_masked": masked.false_positives,
                "hostile": plain.hostile,
                "hit": plain.true_positives,
                "hit_masked": masked.true_positives,
            }
        )
    return rows


def _markdown(rows: list[Impact], metrics: dict[str, float], params: Bias, warnings: Sequence[str]) -> str:
    few, state = len(GROUPS) - len(rows), "masked" if params.mask_identity else "not masked"
    lines = [
        "# Bias",
        "",
        f"{metrics['documents_dropped']:,} of {metrics['documents_in']:,} documents dropped: more than "
        f"{params.max_toxic_share:.0%} of their sentences (and at least {params.min_toxic_sentences}) score above "
        f"{params.sentence_threshold} with `{params.scorer}`, identity {state}. "
        f"Without masking it would be {metrics['documents_dropped_unmasked']:,}.",
        "",
        "## Who is filtered",
        "",
        "Removal rate of documents that mention a group, against documents of the same source and like length that do",
        f"not (ratio of rates, exact 95% interval; p corrected by Holm for {len(rows)} groups). The last column is the",
        f"smallest ratio that {POWER:.0%} of such audits would find: below it nothing is shown, and nothing ruled out.",
        f"{few} groups are in fewer than {params.min_mentions} judged documents and get no rate.",
        "",
        markdown_table(
            ("group", "documents", "removed", "ratio", "p (Holm)", "ratio without masking", "could find from"),
            map(_cells, rows),
            "lrrlrrr",
        ),
    ]
    lines += ["", *(f"**Warning.** {warning}." for warning in warnings), "", *_probe_lines(metrics, params), ""]
    lines.append(
        LIMITS.format(
            version=VERSION, unscored=metrics["unscored_sentence_share"], unjudged=metrics["documents_unjudged"]
        )
    )
    return "\n".join(lines)


def _cells(row: Impact) -> tuple[str, ...]:
    """Row of the table of removal rates; a dash where nothing was removed to compare."""
    ratio = row.ratio
    shown = "-" if math.isnan(ratio.value) else f"{ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]"
    unmasked, detectable = (
        f"{value:.2f}" if math.isfinite(value) else "-" for value in (row.ratio_unmasked.value, row.detectable)
    )
    removed = f"{row.removed.count:,} ({row.removed.value:.1%})"
    return row.group, f"{row.documents:,}", removed, shown, f"{row.p_corrected:.2g}", unmasked, detectable


def _probe_lines(metrics: dict[str, float], params: Bias) -> list[str]:
    unmasked = metrics["probe_gap_unmasked"]
    return [
        "## The probe of the scorer",
        "",
        f"{len(HARMLESS)} harmless and {len(HOSTILE)} hostile templates per phrase. False-positive gap between groups: "
        f"{metrics['probe_gap']:.3f} as used (limit {params.max_probe_gap}), {unmasked:.3f} without. "
        f"Hostile sentences found: {metrics['probe_hits']:.1%} as used, {metrics['probe_hits_unmasked']:.1%} without.",
        "For terms of the lexicon the masked gap is 0 by construction; it measures `unlisted`, people the lexicon "
        "does not name.",
    ]


LIMITS = """## What this cannot know

* A lexicon (version {version}, English) finds mention, not identity, not authorship. It does not see names, irony, who
  speaks, or a word's older sense, and it counts a king in a chess manual as a man.
* The scorer is a classifier with its own history. The default is a bag of words: it knows insults, not hostility, and a
  sentence in a language it does not know gets no score ({unscored:.1%} of sentences here); documents of which it knows
  less than half of the sentences are kept unjudged ({unjudged:,} here).
* Equal removal rates do not make a corpus fair: what was never written or collected is in none of these tables. A large
  ratio is a reason to read dropped_examples.csv, not a verdict; a ratio near 1 with few removals is not an acquittal.
* Groups are compared one at a time; people belong to several."""

"""Counts and report of the mix stage: per source documents and bytes in, out, and added by augmentation."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from components.core.files import write_text
from components.core.report import Report
from components.params import Mix
from components.reporting.figures import figure, save
from components.reporting.tables import as_csv, markdown_table
from components.stages.mix.group_weights import GroupCounts, Planned, markdown
from components.synthetic import curriculum
from components.synthetic.canaries import SOURCE as CANARY
from components.text.identity_terms import VERSION


@dataclass
class MixCounts:
    """Counts of one source: documents and bytes in, out (copies counted), and added by augmentation."""

    weight: float = 1.0
    documents_in: int = 0
    bytes_in: int = 0
    documents: int = 0
    bytes: int = 0
    num_augmented: int = 0
    augmented_bytes: int = 0


@dataclass
class MixtureCounts:
    """Counts by source. Generated sources have nothing in."""

    by_source: dict[str, MixCounts] = field(default_factory=dict)

    def seen(self, source: str, size: int, weight: float) -> None:
        """A document of the input."""
        counts = self.by_source.setdefault(source, MixCounts(weight))
        counts.documents_in += 1
        counts.bytes_in += size

    def count(self, source: str, size: int, augmented: bool = False) -> None:
        """A document of the output."""
        counts = self.by_source.setdefault(source, MixCounts())
        if augmented:
            counts.num_augmented += 1
            counts.augmented_bytes += size
        else:
            counts.documents += 1
            counts.bytes += size

    def num_documents(self) -> int:
        """Documents in the output."""
        return sum(counts.documents + counts.num_augmented for counts in self.by_source.values())

    def num_bytes(self) -> int:
        """Bytes in the output."""
        return sum(counts.bytes + counts.augmented_bytes for counts in self.by_source.values())

    def bytes_of(self, *prefixes: str) -> int:
        """Bytes of the generated sources whose names begin so."""
        return sum(
            counts.bytes
            for name, counts in self.by_source.items()
            if name.startswith(prefixes) and not counts.documents_in
        )


def write_report(mixture: MixtureCounts, entries: Sequence[Planned], params: Mix, reports: Path) -> Report:
    """Tables, plot and the summary under `reports`."""
    dropped = sum(not entry.num_copies for entry in entries)
    by_source = sorted(mixture.by_source.items(), key=_real_first)
    rows = [_row(name, counts, mixture.num_bytes()) for name, counts in by_source]
    write_text(reports / "details" / "sources.csv", as_csv(rows))
    write_text(reports / "details" / "curriculum_examples.txt", _examples(params))
    _plot(mixture, reports / "plots" / "mixture.png")
    report = Report(_metrics(mixture, dropped), "", {"augment": params.augment, "warnings": []})
    report.markdown = _markdown(mixture, rows, report.metrics, params)
    if params.group_weights:
        _add_groups(report, GroupCounts.of(entries, params.group_weights), params, reports)
    report.write(reports)
    return report


def _add_groups(report: Report, groups: GroupCounts, params: Mix, reports: Path) -> None:
    """Add the tables of weights by group, and a warning for each group that no document mentions."""
    weights = params.group_weights
    write_text(reports / "details" / "groups.csv", as_csv(groups.group_rows(weights)))
    write_text(reports / "details" / "group_weights.csv", as_csv(groups.weight_rows()))
    report.markdown += "\n" + "\n".join(markdown(groups, weights))
    report.facts |= {"group_weights": weights, "lexicon_version": VERSION}
    report.facts["warnings"] = [
        f"mix: mix.group_weights.{group} does nothing: no document mentions {group}"
        for group in weights
        if not groups.total(group).documents_in
    ]


def _real_first(entry: tuple[str, MixCounts]) -> tuple[bool, str]:
    return (not entry[1].documents_in, entry[0])


def _row(name: str, counts: MixCounts, total: int) -> dict[str, Any]:
    out = counts.bytes + counts.augmented_bytes
    return {
        "source": name,
        "weight": counts.weight if counts.documents_in else "",
        "documents_in": counts.documents_in,
        "bytes_in": counts.bytes_in,
        "documents": counts.documents,
        "bytes": counts.bytes,
        "times": counts.bytes / counts.bytes_in if counts.bytes_in else "",
        "twins": counts.num_augmented,
        "twin_bytes": counts.augmented_bytes,
        "share": out / total,
    }


def _metrics(mixture: MixtureCounts, dropped: int) -> dict[str, float]:
    total = mixture.num_bytes()
    real = [counts for counts in mixture.by_source.values() if counts.documents_in]
    curriculum_bytes, canary_bytes = mixture.bytes_of("curriculum/"), mixture.bytes_of(CANARY)
    return {
        "documents_in": sum(counts.documents_in for counts in real),
        "documents_dropped": dropped,
        "documents_out": mixture.num_documents(),
        "bytes_in": sum(counts.bytes_in for counts in real),
        "bytes_out": total,
        "bytes_real": sum(counts.bytes for counts in real),
        "bytes_twins": sum(counts.augmented_bytes for counts in real),
        "bytes_curriculum": curriculum_bytes,
        "bytes_canary": canary_bytes,
        "curriculum_share": curriculum_bytes / total,
    }


def _examples(params: Mix) -> str:
    """Some training items of each task, as a person wants to see them."""
    tasks = params.curriculum.tasks if params.curriculum.share else []
    blocks = ["\n".join(item.text for item in curriculum.items(task, params.seed, 6)) for task in tasks]
    return "\n\n".join(blocks) + "\n"


def _markdown(mixture: MixtureCounts, rows: list[dict[str, Any]], metrics: dict[str, float], params: Mix) -> str:
    return "\n".join([
        "# Mixture",
        "",
        f"{metrics['documents_in']:,} documents in, {metrics['documents_dropped']:,} left out by weight, "
        f"{metrics['documents_out']:,} out ({metrics['bytes_out'] / 1e6:.2f} MB): "
        f"{metrics['bytes_real'] / 1e6:.2f} MB real text, "
        f"{metrics['bytes_twins'] / 1e6:.2f} MB twins (augment = {params.augment}), "
        f"{metrics['bytes_curriculum'] / 1e6:.2f} MB curriculum, {metrics['bytes_canary'] / 1e6:.3f} MB canaries.",
        "",
        markdown_table(("source", "weight", "MB in", "MB out", "times", "share"), map(_cells, rows), "lrrrrr"),
        "",
        "Repeat counts of canaries are those in this corpus. A model trained on a part of the tokens saw that part "
        "of the repeats on average; count 0 is the control.",
    ])  # fmt: skip


def _cells(row: dict[str, Any]) -> tuple:
    """Row of a source in the table of the summary."""
    before, after = (f"{size / 1e6:.3f}" for size in (row["bytes_in"], row["bytes"] + row["twin_bytes"]))
    times = f"{row['times']:.3f}" if row["times"] != "" else "generated"
    return row["source"], row["weight"], before, after, times, f"{row['share']:.2%}"


def _plot(mixture: MixtureCounts, path: Path) -> None:
    """Bytes in and out per source; generated text and augmented copies in their own colours."""
    names = [name for name, _ in sorted(mixture.by_source.items(), key=_real_first)]
    sources = [mixture.by_source[name] for name in names]
    drawing, [axes] = figure(7.5, 1.5 + 0.42 * len(names), frame=False)
    y = np.arange(len(names))[::-1]
    before, real, augmented, generated = (
        np.array(values) / 1e6
        for values in (
            [counts.bytes_in for counts in sources],
            [counts.bytes if counts.documents_in else 0 for counts in sources],
            [counts.augmented_bytes for counts in sources],
            [0 if counts.documents_in else counts.bytes for counts in sources],
        )
    )
    axes.barh(y + 0.2, before, 0.36, color="#c9d3ce", label="in")
    axes.barh(y - 0.2, real, 0.36, color="#1b5e4b", label="out")
    if augmented.any():
        axes.barh(y - 0.2, augmented, 0.36, left=real, color="#d9a441", label="out, twins")
    if generated.any():
        axes.barh(y - 0.2, generated, 0.36, color="#6a8caf", label="out, generated")
    total = real + augmented + generated
    for place, value in zip(y, total, strict=True):
        axes.text(value, place - 0.2, f" {value:.2g} MB ({value / total.sum():.1%})", va="center", fontsize=8)
    axes.set_yticks(y, names)
    axes.set_xlabel("MB of text (10^6 bytes)")
    axes.set_title("What the model is trained on", loc="left")
    axes.margins(x=0.2)
    axes.legend(frameon=False, fontsize=8)
    save(drawing, path)

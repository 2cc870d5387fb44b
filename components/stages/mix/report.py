"""The books of the mix stage: what came in per source, what goes out, and what was added, apart."""

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
from components.stages.mix.group_weights import GroupBooks, Planned, markdown
from components.synthetic import curriculum
from components.synthetic.canaries import SOURCE as CANARY
from components.text.identity_terms import VERSION


@dataclass
class Line:
    """One source: documents and bytes in, taken (once or more), and added as twins by augmentation."""

    weight: float = 1.0
    documents_in: int = 0
    bytes_in: int = 0
    documents: int = 0
    bytes: int = 0
    twins: int = 0
    twin_bytes: int = 0


@dataclass
class Added:
    """Counts by source. Generated sources have nothing in."""

    lines: dict[str, Line] = field(default_factory=dict)

    def seen(self, source: str, size: int, weight: float) -> None:
        """A document of the input."""
        line = self.lines.setdefault(source, Line(weight))
        line.documents_in += 1
        line.bytes_in += size

    def count(self, source: str, size: int, twin: bool = False) -> None:
        """A document of the output."""
        line = self.lines.setdefault(source, Line())
        if twin:
            line.twins += 1
            line.twin_bytes += size
        else:
            line.documents += 1
            line.bytes += size

    def num_documents(self) -> int:
        """Documents in the output."""
        return sum(line.documents + line.twins for line in self.lines.values())

    def num_bytes(self) -> int:
        """Bytes in the output."""
        return sum(line.bytes + line.twin_bytes for line in self.lines.values())

    def bytes_of(self, *prefixes: str) -> int:
        """Bytes of the generated sources whose names begin so."""
        return sum(
            line.bytes for name, line in self.lines.items() if name.startswith(prefixes) and not line.documents_in
        )


def write_report(added: Added, entries: Sequence[Planned], params: Mix, reports: Path) -> Report:
    """Tables, plot and the summary under `reports`."""
    dropped = sum(not entry.taken for entry in entries)
    rows = [_row(name, line, added.num_bytes()) for name, line in sorted(added.lines.items(), key=_real_first)]
    write_text(reports / "details" / "sources.csv", as_csv(rows))
    write_text(reports / "details" / "curriculum_examples.txt", _examples(params))
    _plot(added, reports / "plots" / "mixture.png")
    report = Report(_metrics(added, dropped), "", {"augment": params.augment, "warnings": []})
    report.markdown = _markdown(added, rows, report.metrics, params)
    if params.group_weights:
        _add_groups(report, GroupBooks.of(entries, params.group_weights), params, reports)
    report.write(reports)
    return report


def _add_groups(report: Report, books: GroupBooks, params: Mix, reports: Path) -> None:
    """What weights by group did: two tables, and a warning for each group that nothing mentions."""
    weights = params.group_weights
    write_text(reports / "details" / "groups.csv", as_csv(books.group_rows(weights)))
    write_text(reports / "details" / "group_weights.csv", as_csv(books.part_rows()))
    report.markdown += "\n" + "\n".join(markdown(books, weights))
    report.facts |= {"group_weights": weights, "lexicon_version": VERSION}
    report.facts["warnings"] = [
        f"mix: mix.group_weights.{group} does nothing: no document mentions {group}"
        for group in weights
        if not books.total(group).documents_in
    ]


def _real_first(entry: tuple[str, Line]) -> tuple[bool, str]:
    return (not entry[1].documents_in, entry[0])


def _row(name: str, line: Line, total: int) -> dict[str, Any]:
    out = line.bytes + line.twin_bytes
    return {
        "source": name,
        "weight": line.weight if line.documents_in else "",
        "documents_in": line.documents_in,
        "bytes_in": line.bytes_in,
        "documents": line.documents,
        "bytes": line.bytes,
        "times": line.bytes / line.bytes_in if line.bytes_in else "",
        "twins": line.twins,
        "twin_bytes": line.twin_bytes,
        "share": out / total,
    }


def _metrics(added: Added, dropped: int) -> dict[str, float]:
    total = added.num_bytes()
    real = [line for line in added.lines.values() if line.documents_in]
    taught, secret = added.bytes_of("curriculum/"), added.bytes_of(CANARY)
    return {
        "documents_in": sum(line.documents_in for line in real),
        "documents_dropped": dropped,
        "documents_out": added.num_documents(),
        "bytes_in": sum(line.bytes_in for line in real),
        "bytes_out": total,
        "bytes_real": sum(line.bytes for line in real),
        "bytes_twins": sum(line.twin_bytes for line in real),
        "bytes_curriculum": taught,
        "bytes_canary": secret,
        "curriculum_share": taught / total,
    }


def _examples(params: Mix) -> str:
    """Some training items of each task, as a person wants to see them."""
    tasks = params.curriculum.tasks if params.curriculum.share else []
    parts = ["\n".join(item.text for item in curriculum.items(task, params.seed, 6)) for task in tasks]
    return "\n\n".join(parts) + "\n"


def _markdown(added: Added, rows: list[dict[str, Any]], metrics: dict[str, float], params: Mix) -> str:
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


def _plot(added: Added, path: Path) -> None:
    """Bytes in and out per source; generated text and twins in their own colours."""
    names = [name for name, _ in sorted(added.lines.items(), key=_real_first)]
    lines = [added.lines[name] for name in names]
    drawing, [axes] = figure(7.5, 1.5 + 0.42 * len(names), frame=False)
    y = np.arange(len(names))[::-1]
    before, real, twins, made = (
        np.array(values) / 1e6
        for values in (
            [line.bytes_in for line in lines],
            [line.bytes if line.documents_in else 0 for line in lines],
            [line.twin_bytes for line in lines],
            [0 if line.documents_in else line.bytes for line in lines],
        )
    )
    axes.barh(y + 0.2, before, 0.36, color="#c9d3ce", label="in")
    axes.barh(y - 0.2, real, 0.36, color="#1b5e4b", label="out")
    if twins.any():
        axes.barh(y - 0.2, twins, 0.36, left=real, color="#d9a441", label="out, twins")
    if made.any():
        axes.barh(y - 0.2, made, 0.36, color="#6a8caf", label="out, generated")
    total = real + twins + made
    for place, value in zip(y, total, strict=True):
        axes.text(value, place - 0.2, f" {value:.2g} MB ({value / total.sum():.1%})", va="center", fontsize=8)
    axes.set_yticks(y, names)
    axes.set_xlabel("MB of text (10^6 bytes)")
    axes.set_title("What the model is trained on", loc="left")
    axes.margins(x=0.2)
    axes.legend(frameon=False, fontsize=8)
    save(drawing, path)

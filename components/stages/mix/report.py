"""Counts and report of the mix stage: per source documents and bytes in, out, and added by augmentation."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.core.files import write_text
from components.core.report import Report
from components.params import Mix
from components.reporting.figures import bars, chart
from components.reporting.tables import Page
from components.stages.mix import group_weights
from components.stages.mix.group_weights import GroupCounts, Planned
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

    def generated(self, prefix: str) -> MixCounts:
        """Documents and bytes of the generated sources whose names begin so."""
        chosen = [one for name, one in self.by_source.items() if name.startswith(prefix) and not one.documents_in]
        return MixCounts(documents=sum(one.documents for one in chosen), bytes=sum(one.bytes for one in chosen))


def write_report(mixture: MixtureCounts, entries: Sequence[Planned], params: Mix, reports: Path) -> Report:
    """Tables, plot and the summary under `reports`."""
    metrics, page = _metrics(mixture, sum(not entry.num_copies for entry in entries)), Page("Mixture", reports)
    facts: dict[str, Any] = {"augment": params.augment, "warnings": []}
    copies = f", {metrics['bytes_augmented'] / 1e6:.2f} MB augmented copies ({params.augment})"
    page.add(
        f"{metrics['documents_in']:,} documents of real text came in; {metrics['documents_dropped']:,} were left out "
        f"by weight. The mixture has {metrics['documents_out']:,} documents ({metrics['bytes_out'] / 1e6:.2f} MB): "
        f"{metrics['bytes_real'] / 1e6:.2f} MB real text{copies if metrics['bytes_augmented'] else ''}, "
        f"{metrics['bytes_curriculum'] / 1e6:.2f} MB generated curriculum in {metrics['documents_curriculum']:,} short "
        f"documents, and {metrics['bytes_canary'] / 1e6:.3f} MB canaries in {metrics['documents_canary']:,}.",
    )
    by_source = sorted(mixture.by_source.items(), key=_real_first)
    rows = [_row(name, counts, mixture.num_bytes()) for name, counts in by_source]
    columns = "source weight documents_in bytes_in documents bytes times augmented augmented_bytes share"
    caption = "Text by source; `times` is how often its bytes are taken."
    page.table("sources", columns, rows, caption, "source weight documents_in bytes_in documents bytes times share")
    page.add(
        "Canaries are random texts inserted a known number of times, to measure what a model memorises. A model that "
        "trains on a part of the tokens sees that part of the repeats on average; those of count 0 are the control.",
    )
    write_text(reports / "details" / "curriculum_examples.txt", _examples(params))
    _plot(mixture, reports / "plots" / "mixture.png")
    if weights := params.group_weights:
        groups = GroupCounts.of(entries, weights)
        group_weights.write(page, groups, weights)
        facts |= {"group_weights": weights, "lexicon_version": VERSION}
        facts["warnings"] = [
            f"mix: mix.group_weights.{group} does nothing: no document mentions {group}"
            for group in weights
            if not groups.total(group).documents_in
        ]
    report = Report(metrics, page.markdown, facts)
    report.write(reports)
    return report


def _real_first(entry: tuple[str, MixCounts]) -> tuple[bool, str]:
    return (not entry[1].documents_in, entry[0])


def _row(name: str, counts: MixCounts, total: int) -> tuple:
    """Row of a source in the table; see its columns."""
    real = counts.documents_in > 0
    times = counts.bytes / counts.bytes_in if real else "generated"
    return (
        name, counts.weight if real else "", counts.documents_in, counts.bytes_in, counts.documents, counts.bytes,
        times, counts.num_augmented, counts.augmented_bytes, (counts.bytes + counts.augmented_bytes) / total,
    )  # fmt: skip


def _metrics(mixture: MixtureCounts, dropped: int) -> dict[str, float]:
    total = mixture.num_bytes()
    real = [counts for counts in mixture.by_source.values() if counts.documents_in]
    curriculum, canary = mixture.generated("curriculum/"), mixture.generated(CANARY)
    return {
        "documents_in": sum(counts.documents_in for counts in real),
        "documents_dropped": dropped,
        "documents_out": mixture.num_documents(),
        "documents_curriculum": curriculum.documents,
        "documents_canary": canary.documents,
        "bytes_in": sum(counts.bytes_in for counts in real),
        "bytes_out": total,
        "bytes_real": sum(counts.bytes for counts in real),
        "bytes_augmented": sum(counts.augmented_bytes for counts in real),
        "bytes_curriculum": curriculum.bytes,
        "bytes_canary": canary.bytes,
        "curriculum_share": curriculum.bytes / total,
    }


def _examples(params: Mix) -> str:
    """Some training items of each task, as a person wants to see them."""
    tasks = params.curriculum.tasks if params.curriculum.share else []
    blocks = ["\n".join(item.text for item in curriculum.items(task, params.seed, 6)) for task in tasks]
    return "\n\n".join(blocks) + "\n"


def _plot(mixture: MixtureCounts, path: Path) -> None:
    """Bytes of the mixture per source: real text, augmented copies, and generated text."""
    rows = sorted(mixture.by_source.items(), key=_real_first)
    megabytes = {
        "real text": [counts.bytes / 1e6 if counts.documents_in else 0.0 for _, counts in rows],
        "augmented copies": [counts.augmented_bytes / 1e6 for _, counts in rows],
        "generated": [0.0 if counts.documents_in else counts.bytes / 1e6 for _, counts in rows],
    }
    caption = "What the models are trained on, by source; per cent are of all bytes."
    with chart(path, caption, 1.2 + 0.3 * len(rows), xlabel="text (MB)") as axes:
        ends = bars(axes, [name for name, _ in rows], {name: row for name, row in megabytes.items() if any(row)})
        for position, end in enumerate(ends):
            axes.annotate(f"{end / ends.sum():.1%}", (end, position), (4, 0), textcoords="offset points", va="center")
        axes.margins(x=0.12)

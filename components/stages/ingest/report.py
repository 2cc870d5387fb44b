"""The report of ingest: documents by source and licence, and what was refused and why."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from components.core.files import write_text
from components.core.report import Report
from components.reporting.figures import bars, chart
from components.reporting.tables import Page
from components.stages.ingest.heldout_split import MIN_WORKS, Works
from components.stages.ingest.licences import Policy
from components.stages.ingest.opt_out import OptOut
from components.stages.ingest.source_counts import SourceCounts

EXCERPT_CHARS = 600
TINY_BYTES = 10_000
"""With less held-out text than this a source's scores say little."""
Sources = dict[str, SourceCounts]


def report_of(sources: Sources, opt_out: OptOut, policy: Policy, folder: Path | None) -> Report:
    """The report; its tables and pictures go under `folder`, if there is one."""
    page = Page("Ingest", folder)
    _documents(page, sources)
    _licences(page, sources, policy)
    _remarks(page, sources)
    _opt_out(page, sources, opt_out)
    _lists(page, sources)
    if folder is not None:
        write_text(folder / "details" / "samples.md", samples(sources))
        _draw(sources, folder / "plots" / "corpus.png")
    return Report(_metrics(sources), page.markdown, {"sources": {name: _facts(one) for name, one in sources.items()}})


def _metrics(sources: Sources) -> dict[str, float]:
    def total(count: Callable[[SourceCounts], int]) -> int:
        return sum(map(count, sources.values()))

    size, heldout = total(lambda counts: counts.kept_bytes), total(lambda counts: counts.heldout_bytes)
    metrics: dict[str, float] = {
        "documents/in": total(lambda counts: counts.documents_in),
        "documents/kept": total(lambda counts: counts.kept),
        "documents/dropped": total(lambda counts: counts.dropped.total()),
        "documents/quarantined": total(lambda counts: counts.quarantined.total()),
        "documents/heldout": total(lambda counts: counts.heldout),
        "megabytes": size / 1e6,
        "heldout_share": _share(heldout, size),
    }
    for name, counts in sources.items():
        metrics[f"sources/{name}/megabytes"] = counts.kept_bytes / 1e6
        metrics[f"sources/{name}/heldout_share"] = _share(counts.heldout_bytes, counts.kept_bytes)
    return metrics


NUMBERS = ("files", "files_not_read", "documents_in", "kept", "kept_bytes", "heldout", "heldout_bytes")


def _facts(counts: SourceCounts) -> dict[str, Any]:
    """Facts of a source for later stages and the summary."""
    works = counts.works
    return {name: getattr(counts, name) for name in NUMBERS} | {
        "works": len(works.sizes) if works else 0,
        "heldout_works": works.num_heldout if works else 0,
        "heldout_works_cut": works.num_cut if works else 0,
        "files_in_part": len(counts.in_part),
        "files_skipped": _skipped(counts),
        "bytes_skipped": _skipped_bytes(counts),
        "dropped": dict(sorted(counts.dropped.items())),
        "quarantined": dict(sorted(counts.quarantined.items())),
    }


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _skipped(counts: SourceCounts) -> dict[str, int]:
    return dict(sorted(Counter(file.reason for file in counts.skipped).items()))


def _skipped_bytes(counts: SourceCounts) -> dict[str, int]:
    sizes = Counter[str]()
    for file in counts.skipped:
        sizes[file.reason] += file.num_bytes
    return dict(sorted(sizes.items()))


# -- text and tables ---------------------------------------------------------------------------------------------------


def _documents(page: Page, sources: Sources) -> None:
    rows = [
        (name, one.files, one.documents_in, one.kept, one.dropped.total(), one.quarantined.total(), one.kept_bytes,
         *_works(one))
        for name, one in sources.items()
    ]  # fmt: skip
    columns = "source files documents_in kept dropped quarantined kept_bytes works works_held_out held_out_share"
    page.show(columns, rows, "Documents by source; held out is part of kept, and its share is by bytes.")


def _works(counts: SourceCounts) -> tuple[int, int, float]:
    """Works, those held out whole or in part, and their held-out share of the bytes."""
    works = counts.works
    if works is None:
        return 0, 0, 0.0
    heldout = counts.heldout_bytes or int(works.parts.sum())  # a dry run divides no document
    return len(works.sizes), works.num_heldout, _share(heldout, counts.kept_bytes)


def _licences(page: Page, sources: Sources, policy: Policy) -> None:
    columns = "source licence read_from documents bytes refused"
    rows = [
        (name, *key, *counts.licences.get(key, (0, 0)), counts.refused_licences[key])
        for name, counts in sources.items()
        for key in sorted({*counts.licences, *counts.refused_licences})
    ]
    page.table("licences", columns.replace("documents", "kept"), rows)
    sums: dict[str, list[int]] = {}
    for _, licence, _, *numbers in rows:
        sums[licence] = [have + more for have, more in zip(sums.get(licence, (0, 0, 0)), numbers, strict=True)]
    ordered = sorted(sums.items(), key=lambda item: (-item[1][1], item[0]))
    caption = f"Documents by licence, the largest first. Policy: {policy.in_words()}."
    page.show("licence documents bytes refused", [(licence, *numbers) for licence, numbers in ordered], caption)


def _remarks(page: Page, sources: Sources) -> None:
    """One line for each thing about a source that a person should know."""
    lines = []
    for name, counts in sources.items():
        for status, by_rule in (("dropped", counts.dropped), ("quarantined", counts.quarantined)):
            if by_rule:
                lines.append(f"{name}: {status} {', '.join(f'{n} {rule}' for rule, n in sorted(by_rule.items()))}.")
        sizes = _skipped_bytes(counts)
        lines += [
            f"{name}: {count} files left out ({sizes[reason]:,} bytes): {reason}."
            for reason, count in _skipped(counts).items()
        ]
        lines += [f"{name}: full at its limit: of {one} only the beginning was read." for one in counts.in_part]
        if counts.files_not_read:
            lines.append(f"{name}: full at its limit, {counts.files_not_read} files were not read.")
        if counts.works is not None:
            lines += _heldout_remarks(name, counts.works)
    page.add("\n".join(f"- {line}" for line in lines))


def _heldout_remarks(name: str, works: Works) -> list[str]:
    """Remarks on works that are held out in part, and a warning if the held-out set is tiny."""
    held, size = works.num_heldout, int(works.parts.sum())
    remarks = []
    if works.num_cut:
        remarks.append(
            f"{name}: of {held} held-out works, {works.num_cut} are held out in part; training uses their rest."
        )
    if held < MIN_WORKS or size < TINY_BYTES:
        remarks.append(
            f"WARNING: {name}: the held-out set is tiny, {size} bytes from {held} works: scores of this source have "
            f"wide intervals or none; give {MIN_WORKS} works and {TINY_BYTES} bytes, or raise heldout_fraction."
        )
    return remarks


def _opt_out(page: Page, sources: Sources, opt_out: OptOut) -> None:
    matched = sum((counts.opted_out for counts in sources.values()), Counter[str]())
    rows = [(line, kind, matched[opt_out.reason(line)]) for line, kind, _ in opt_out.entries]
    page.table("opted_out", "line kind documents", rows)
    if not rows:
        return page.add(f"{opt_out.name}: no entries, so nothing is opted out.")
    idle = [str(line) for line, _, documents in rows if not documents]
    lost = f"; matched nothing that other entries had left: line {', '.join(idle[:20])}" if idle else ""
    page.add(f"{opt_out.name}: {len(rows)} entries, {sum(row[2] for row in rows)} documents opted out{lost}.")


def _lists(page: Page, sources: Sources) -> None:
    """Tables that only the files have."""
    entries = [(name, entry) for name, counts in sources.items() for entry in counts.bad_records]
    bad = [(name, e.document.location.split("#")[0], e.line, e.offset, e.rule, e.reason) for name, e in entries]
    groups = {name: sorted(counts.heldout_groups.items()) for name, counts in sources.items()}
    skipped = {name: sorted(counts.skipped) for name, counts in sources.items()}
    page.table("quarantine", "source file line byte_offset rule reason", bad)
    page.table("skipped", "source file reason bytes", [(name, *item) for name in skipped for item in skipped[name]])
    page.table("heldout", "source group bytes", [(name, *item) for name in groups for item in groups[name]])


def samples(sources: Sources) -> str:
    """The beginnings of some documents of each source, as a person would read them."""
    lines = ["# Samples", ""]
    for name, counts in sources.items():
        for document in counts.samples():
            lines += [f"## {name}: {document.location}", "", f"{document.licence}, {document.source_version}", ""]
            lines += [f"    {line}" for line in document.text[:EXCERPT_CHARS].splitlines()] + [""]
    return "\n".join(lines)


def _draw(sources: Sources, path: Path) -> None:
    """Megabytes per source by licence."""
    sizes = {name: Counter[str]() for name in sources}
    for name, counts in sources.items():
        for (licence, _), (_, size) in counts.licences.items():
            sizes[name][licence] += size
    licences = [licence for licence, _ in sum(sizes.values(), Counter[str]()).most_common()]
    caption = "Megabytes of text that each source gives, by licence."
    with chart(path, caption, 1.5 + 0.5 * len(sources), xlabel="text (MB)") as axes:
        bars(axes, list(sizes), {licence: [sizes[name][licence] / 1e6 for name in sizes] for licence in licences})

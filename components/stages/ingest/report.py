"""The report of ingest: figures, tables, and a picture of what the corpus is made of."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from components.core.report import Report
from components.reporting.figures import figure, save
from components.reporting.tables import markdown_table, write_table
from components.stages.ingest.heldout_split import MIN_WORKS, Works
from components.stages.ingest.licences import Policy
from components.stages.ingest.opt_out import OptOut
from components.stages.ingest.source_counts import SourceCounts, length_of_bin

EXCERPT_CHARS = 600

TINY_BYTES = 10_000
"""With less held-out text than this a source's scores say little."""


def report_of(sources: dict[str, SourceCounts], opt_out: OptOut, policy: Policy, folder: Path | None) -> Report:
    """The report; with its tables under `folder/details` and its picture under `folder/plots`, if a folder is given."""
    report = Report(_metrics(sources), _markdown(sources, opt_out, policy), _facts(sources))
    if folder is not None:
        _tables(sources, folder / "details")
        write_table(folder / "details" / "opted_out.csv", ["line", "kind", "documents"], _opted_out(sources, opt_out))
        _picture(sources, folder / "plots" / "corpus.png")
    return report


def _metrics(sources: dict[str, SourceCounts]) -> dict[str, float]:
    all_counts = sources.values()
    size, heldout = sum(counts.kept_bytes for counts in all_counts), sum(counts.heldout_bytes for counts in all_counts)
    metrics: dict[str, float] = {
        "documents/in": sum(counts.documents_in for counts in all_counts),
        "documents/kept": sum(counts.kept for counts in all_counts),
        "documents/dropped": sum(counts.dropped.total() for counts in all_counts),
        "documents/quarantined": sum(counts.quarantined.total() for counts in all_counts),
        "documents/heldout": sum(counts.heldout for counts in all_counts),
        "megabytes": size / 1e6,
        "heldout_share": _heldout_share(heldout, size),
    }
    for name, counts in sources.items():
        metrics[f"sources/{name}/megabytes"] = counts.kept_bytes / 1e6
        metrics[f"sources/{name}/heldout_share"] = _heldout_share(counts.heldout_bytes, counts.kept_bytes)
    return metrics


def _facts(sources: dict[str, SourceCounts]) -> dict:
    """What later stages and the summary may want to know of each source."""
    return {
        "sources": {
            name: {
                "files": counts.files,
                "files_not_read": counts.files_not_read,
                "files_skipped": dict(sorted(Counter(reason for _, reason in counts.skipped).items())),
                "cut_bytes": counts.cut_bytes(),
                "documents_in": counts.documents_in,
                "kept": counts.kept,
                "kept_bytes": counts.kept_bytes,
                "dropped": dict(sorted(counts.dropped.items())),
                "quarantined": dict(sorted(counts.quarantined.items())),
                "heldout": counts.heldout,
                "heldout_bytes": counts.heldout_bytes,
                "works": len(counts.works.sizes) if counts.works else 0,
                "heldout_works": counts.works.num_heldout if counts.works else 0,
                "heldout_works_cut": counts.works.num_cut if counts.works else 0,
            }
            for name, counts in sources.items()
        }
    }


def _opted_out(sources: dict[str, SourceCounts], opt_out: OptOut) -> list[list]:
    """Line, kind and documents found of every entry of the opt-out list."""
    found = sum((counts.opted_out for counts in sources.values()), Counter[str]())
    return [[line, kind, found[opt_out.reason(line)]] for line, kind, _ in opt_out.entries]


def _markdown(sources: dict[str, SourceCounts], opt_out: OptOut, policy: Policy) -> str:
    header = ("source", "files", "in", "kept", "dropped", "quarantined", "MB", "works", "held out")
    licences = [
        (licence, documents, f"{size / 1e6:.2f}", refused)
        for licence, (documents, size), refused in _by_licence(sources.values())
    ]
    lines = [
        "# Ingest",
        "",
        markdown_table(header, [_row(*entry) for entry in sources.items()], "lrrrrrrrr", right="--:"),
        "",
        markdown_table(("licence", "documents", "MB", "refused"), licences, "lrrr", right="--:"),
        "",
        f"Policy: {policy.in_words()}.",
        "",
        *_remarks(sources),
        _opt_out_remark(sources, opt_out),
    ]
    return "\n".join(lines) + "\n"


def _row(name: str, counts: SourceCounts) -> tuple:
    """Row of a source in the first table."""
    documents = counts.documents_in, counts.kept, counts.dropped.total(), counts.quarantined.total()
    size = f"{counts.kept_bytes / 1e6:.2f}"
    if counts.works is None:
        return name, counts.files, *documents, size, 0, "nothing"
    num_works, num_heldout = len(counts.works.sizes), counts.works.num_heldout
    share = _heldout_share(int(counts.works.parts.sum()), counts.kept_bytes)
    return name, counts.files, *documents, size, num_works, f"{share:.1%} of the bytes, from {num_heldout} works"


def _heldout_share(heldout_bytes: int, kept_bytes: int) -> float:
    return heldout_bytes / kept_bytes if kept_bytes else 0.0


def _opt_out_remark(sources: dict[str, SourceCounts], opt_out: OptOut) -> str:
    rows = _opted_out(sources, opt_out)
    if not rows:
        return f"- {opt_out.name}: no entries, so nothing is opted out."
    idle = [str(line) for line, _, documents in rows if not documents]
    lost = f"; found nothing: line {', '.join(idle[:20])}" if idle else ""
    return f"- {opt_out.name}: {len(rows)} entries, {sum(row[2] for row in rows)} documents opted out{lost}."


def _remarks(sources: dict[str, SourceCounts]) -> list[str]:
    """One line for each thing about a source that a person should know."""
    remarks = []
    for name, counts in sources.items():
        for what, by_rule in (("dropped", counts.dropped), ("quarantined", counts.quarantined)):
            if by_rule:
                rules = ", ".join(f"{count} {rule}" for rule, count in sorted(by_rule.items()))
                remarks.append(f"- {name}: {what} {rules}.")
        for reason, count in sorted(Counter(reason for _, reason in counts.skipped).items()):
            remarks.append(f"- {name}: {count} files left out: {reason}.")
        for rule, num_bytes in counts.cut_bytes().items():
            count = sum(of == rule for _, of, _ in counts.cut)
            remarks.append(f"- {name}: {num_bytes} bytes cut from {count} files by {rule} (cut.csv has each).")
        if counts.files_not_read:
            remarks.append(f"- {name}: full at its limit, {counts.files_not_read} files were not read.")
        if counts.works is not None:
            remarks += _heldout_remarks(name, counts.works)
    return remarks


def _heldout_remarks(name: str, works: Works) -> list[str]:
    """What training sees of the works that are held out in part, and a warning if the held-out set is tiny."""
    held, size = works.num_heldout, int(works.parts.sum())
    remarks = []
    if works.num_cut:
        remarks.append(f"- {name}: of {works.num_cut} of the {held} held-out works the rest is trained on.")
    if held < MIN_WORKS or size < TINY_BYTES:
        remarks.append(
            f"- WARNING: {name}: the held-out set is tiny, {size} bytes from {held} works: scores of this source have "
            f"wide intervals or none; give {MIN_WORKS} works and {TINY_BYTES} bytes, or raise heldout_fraction."
        )
    return remarks


def _by_licence(sources: Iterable[SourceCounts]) -> list[tuple[str, tuple[int, int], int]]:
    """Documents and bytes kept, and documents refused, per licence; the largest first."""
    documents: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    for counts in sources:
        for (licence, _), count in counts.refused_licences.items():
            refused[licence] += count
        for (licence, _), (count, size) in counts.licences.items():
            documents[licence] += count
            sizes[licence] += size
    order = sorted({*sizes, *refused}, key=lambda licence: (-sizes[licence], licence))
    return [(licence, (documents[licence], sizes[licence]), refused[licence]) for licence in order]


def _tables(sources: dict[str, SourceCounts], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    licences = [
        [name, *found, *counts.licences.get(found, [0, 0]), counts.refused_licences[found]]
        for name, counts in sources.items()
        for found in sorted({*counts.licences, *counts.refused_licences})
    ]
    bad_records = [
        [name, entry.document.location.split("#")[0], entry.line, entry.offset, entry.rule, entry.reason]
        for name, counts in sources.items()
        for entry in counts.bad_records
    ]
    skipped = [[name, *item] for name, counts in sources.items() for item in sorted(counts.skipped)]
    cut = [[name, *item] for name, counts in sources.items() for item in counts.cut]
    groups = [
        [name, group, size] for name, counts in sources.items() for group, size in sorted(counts.heldout_groups.items())
    ]
    write_table(folder / "licences.csv", ["source", "licence", "read_from", "kept", "bytes", "refused"], licences)
    write_table(folder / "quarantine.csv", ["source", "file", "line", "byte_offset", "rule", "reason"], bad_records)
    write_table(folder / "skipped.csv", ["source", "file", "reason"], skipped)
    write_table(folder / "cut.csv", ["source", "file", "rule", "bytes"], cut)
    write_table(folder / "heldout.csv", ["source", "group", "bytes"], groups)
    (folder / "samples.md").write_bytes(samples(sources).encode())


def samples(sources: dict[str, SourceCounts]) -> str:
    """The beginnings of some documents of each source, as a person would read them."""
    lines = ["# Samples", ""]
    for name, counts in sources.items():
        for document in counts.samples():
            lines += [f"## {name}: {document.location}", "", f"{document.licence}, {document.source_version}", ""]
            lines += [f"    {line}" for line in document.text[:EXCERPT_CHARS].splitlines()] + [""]
    return "\n".join(lines)


def _picture(sources: dict[str, SourceCounts], path: Path) -> None:
    """Bytes per source by licence, and how long documents are."""
    drawing, [sizes, lengths] = figure(11, 4.2, columns=2)
    names = list(sources)
    start = dict.fromkeys(names, 0.0)
    licences = [licence for licence, (documents, _), _ in _by_licence(sources.values()) if documents]
    for index, licence in enumerate(licences):
        widths = [
            sum(size for (name, _), (_, size) in sources[source].licences.items() if name == licence) / 1e6
            for source in names
        ]
        label = licence if index < 9 else None
        sizes.barh(names, widths, left=[start[name] for name in names], label=label, color=f"C{index % 10}")
        start = {name: start[name] + width for name, width in zip(names, widths, strict=True)}
    sizes.set(xlabel="text (MB)", title="Text per source, by licence")
    sizes.invert_yaxis()
    sizes.legend(fontsize=8, frameon=False)
    for name, counts in sources.items():
        if counts.lengths:
            bins = range(min(counts.lengths), max(counts.lengths) + 2)
            by_rule = [counts.lengths[number] for number in bins]
            lengths.step([length_of_bin(number) for number in bins], by_rule, where="post", label=name)
    lengths.set(xscale="log", xlabel="length (characters)", ylabel="documents", title="Lengths of documents")
    lengths.legend(fontsize=8, frameon=False)
    save(drawing, path)

"""The report of ingest: figures, tables, and a picture of what the corpus is made of."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from components.core.report import Report
from components.reporting.csv_tables import write_table
from components.stages.ingest.licences import Policy
from components.stages.ingest.opt_out import OptOut
from components.stages.ingest.source_counts import Tally, length_of_bin

EXCERPT_CHARS = 600


def report_of(tallies: dict[str, Tally], opt_out: OptOut, policy: Policy, folder: Path | None) -> Report:
    """The report; with its tables under `folder/details` and its picture under `folder/plots`, if a folder is given."""
    report = Report(_metrics(tallies), _markdown(tallies, opt_out, policy), _facts(tallies))
    if folder is not None:
        _tables(tallies, folder / "details")
        write_table(folder / "details" / "opted_out.csv", ["line", "kind", "documents"], _opted_out(tallies, opt_out))
        _picture(tallies, folder / "plots" / "corpus.png")
    return report


def _metrics(tallies: dict[str, Tally]) -> dict[str, float]:
    books = tallies.values()
    size, heldout = sum(tally.kept_bytes for tally in books), sum(tally.heldout_bytes for tally in books)
    metrics: dict[str, float] = {
        "documents/in": sum(tally.documents_in for tally in books),
        "documents/kept": sum(tally.kept for tally in books),
        "documents/dropped": sum(tally.dropped.total() for tally in books),
        "documents/quarantined": sum(tally.quarantined.total() for tally in books),
        "documents/heldout": sum(tally.heldout for tally in books),
        "megabytes": size / 1e6,
        "heldout_share": heldout / size if size else 0.0,
    }
    for name, tally in tallies.items():
        metrics[f"sources/{name}/megabytes"] = tally.kept_bytes / 1e6
        metrics[f"sources/{name}/heldout_share"] = tally.heldout_bytes / tally.kept_bytes if tally.kept_bytes else 0.0
    return metrics


def _facts(tallies: dict[str, Tally]) -> dict:
    """What later stages and the summary may want to know of each source."""
    return {
        "sources": {
            name: {
                "files": tally.files,
                "files_not_read": tally.files_not_read,
                "files_skipped": dict(sorted(Counter(reason for _, reason in tally.skipped).items())),
                "cut_bytes": tally.cut_bytes(),
                "documents_in": tally.documents_in,
                "kept": tally.kept,
                "kept_bytes": tally.kept_bytes,
                "dropped": dict(sorted(tally.dropped.items())),
                "quarantined": dict(sorted(tally.quarantined.items())),
                "heldout": tally.heldout,
                "heldout_bytes": tally.heldout_bytes,
            }
            for name, tally in tallies.items()
        }
    }


def _opted_out(tallies: dict[str, Tally], opt_out: OptOut) -> list[list]:
    """Line, kind and documents found of every entry of the opt-out list."""
    found = sum((tally.opted_out for tally in tallies.values()), Counter[str]())
    return [[line, kind, found[opt_out.reason(line)]] for line, kind, _ in opt_out.entries]


def _markdown(tallies: dict[str, Tally], opt_out: OptOut, policy: Policy) -> str:
    lines = [
        "# Ingest",
        "",
        "| source | files | in | kept | dropped | quarantined | MB | held out |",
        "|---|" + "--:|" * 7,
    ]
    for name, tally in tallies.items():
        share = tally.heldout_bytes / tally.kept_bytes if tally.kept_bytes else 0.0
        lines.append(
            f"| {name} | {tally.files} | {tally.documents_in} | {tally.kept} | {tally.dropped.total()} "
            f"| {tally.quarantined.total()} | {tally.kept_bytes / 1e6:.2f} | {tally.heldout} documents, {share:.1%} |"
        )
    lines += ["", "| licence | documents | MB | refused |", "|---|--:|--:|--:|"]
    for licence, (documents, size), refused in _by_licence(tallies.values()):
        lines.append(f"| {licence} | {documents} | {size / 1e6:.2f} | {refused} |")
    lines += ["", f"Policy: {policy.in_words()}."]
    return "\n".join([*lines, "", *_remarks(tallies), _opt_out_remark(tallies, opt_out)]) + "\n"


def _opt_out_remark(tallies: dict[str, Tally], opt_out: OptOut) -> str:
    rows = _opted_out(tallies, opt_out)
    if not rows:
        return f"- {opt_out.name}: no entries, so nothing is opted out."
    idle = [str(line) for line, _, documents in rows if not documents]
    lost = f"; found nothing: line {', '.join(idle[:20])}" if idle else ""
    return f"- {opt_out.name}: {len(rows)} entries, {sum(row[2] for row in rows)} documents opted out{lost}."


def _remarks(tallies: dict[str, Tally]) -> list[str]:
    """One line for each thing about a source that a person should know."""
    remarks = []
    for name, tally in tallies.items():
        for what, counts in (("dropped", tally.dropped), ("quarantined", tally.quarantined)):
            if counts:
                rules = ", ".join(f"{count} {rule}" for rule, count in sorted(counts.items()))
                remarks.append(f"- {name}: {what} {rules}.")
        for reason, count in sorted(Counter(reason for _, reason in tally.skipped).items()):
            remarks.append(f"- {name}: {count} files left out: {reason}.")
        for rule, num_bytes in tally.cut_bytes().items():
            count = sum(of == rule for _, of, _ in tally.cut)
            remarks.append(f"- {name}: {num_bytes} bytes cut from {count} files by {rule} (cut.csv has each).")
        if tally.files_not_read:
            remarks.append(f"- {name}: full at its limit, {tally.files_not_read} files were not read.")
        if tally.kept and not tally.heldout:
            remarks.append(f"- {name}: no group is held out, so no figure of the exam is about this source.")
    return remarks


def _by_licence(tallies: Iterable[Tally]) -> list[tuple[str, tuple[int, int], int]]:
    """Documents and bytes kept, and documents refused, per licence; the largest first."""
    documents: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    for tally in tallies:
        for (licence, _), count in tally.refused_licences.items():
            refused[licence] += count
        for (licence, _), (count, size) in tally.licences.items():
            documents[licence] += count
            sizes[licence] += size
    order = sorted({*sizes, *refused}, key=lambda licence: (-sizes[licence], licence))
    return [(licence, (documents[licence], sizes[licence]), refused[licence]) for licence in order]


def _tables(tallies: dict[str, Tally], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    licences = [
        [name, *found, *tally.licences.get(found, [0, 0]), tally.refused_licences[found]]
        for name, tally in tallies.items()
        for found in sorted({*tally.licences, *tally.refused_licences})
    ]
    faults = [
        [name, entry.document.location.split("#")[0], entry.line, entry.offset, entry.rule, entry.reason]
        for name, tally in tallies.items()
        for entry in tally.faults
    ]
    skipped = [[name, *item] for name, tally in tallies.items() for item in sorted(tally.skipped)]
    cut = [[name, *item] for name, tally in tallies.items() for item in tally.cut]
    groups = [
        [name, group, size] for name, tally in tallies.items() for group, size in sorted(tally.heldout_groups.items())
    ]
    write_table(folder / "licences.csv", ["source", "licence", "read_from", "kept", "bytes", "refused"], licences)
    write_table(folder / "quarantine.csv", ["source", "file", "line", "byte_offset", "rule", "reason"], faults)
    write_table(folder / "skipped.csv", ["source", "file", "reason"], skipped)
    write_table(folder / "cut.csv", ["source", "file", "rule", "bytes"], cut)
    write_table(folder / "heldout.csv", ["source", "group", "bytes"], groups)
    (folder / "samples.md").write_bytes(samples(tallies).encode())


def samples(tallies: dict[str, Tally]) -> str:
    """The beginnings of some documents of each source, as a person would read them."""
    lines = ["# Samples", ""]
    for name, tally in tallies.items():
        for document in tally.samples():
            lines += [f"## {name}: {document.location}", "", f"{document.licence}, {document.source_version}", ""]
            lines += [f"    {line}" for line in document.text[:EXCERPT_CHARS].splitlines()] + [""]
    return "\n".join(lines)


def _picture(tallies: dict[str, Tally], path: Path) -> None:
    """Bytes per source by licence, and how long documents are."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    sizes, lengths = figure.subplots(1, 2)
    names = list(tallies)
    start = dict.fromkeys(names, 0.0)
    licences = [licence for licence, (documents, _), _ in _by_licence(tallies.values()) if documents]
    for index, licence in enumerate(licences):
        widths = [
            sum(size for (name, _), (_, size) in tallies[source].licences.items() if name == licence) / 1e6
            for source in names
        ]
        label = licence if index < 9 else None
        sizes.barh(names, widths, left=[start[name] for name in names], label=label, color=f"C{index % 10}")
        start = {name: start[name] + width for name, width in zip(names, widths, strict=True)}
    sizes.set(xlabel="text (MB)", title="Text per source, by licence")
    sizes.invert_yaxis()
    sizes.legend(fontsize=8, frameon=False)
    for name, tally in tallies.items():
        if tally.lengths:
            bins = range(min(tally.lengths), max(tally.lengths) + 2)
            counts = [tally.lengths[number] for number in bins]
            lengths.step([length_of_bin(number) for number in bins], counts, where="post", label=name)
    lengths.set(xscale="log", xlabel="length (characters)", ylabel="documents", title="Lengths of documents")
    lengths.legend(fontsize=8, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})

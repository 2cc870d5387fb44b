"""Ingest: read the sources, keep provenance, quarantine bad records, cut the held-out set.

    sources -> files -> records -> kept | dropped (by rule) | quarantined (with evidence);  kept -> train | heldout

Files are read by a pool of workers and written in the order of their names, so the bytes are the
same whatever the number of workers; memory is bounded by a shard and the pieces in flight. The
held-out set is cut here, before any stage that has settings to tune, and nothing edits it later.
"""

import json
import math
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from components.core.errors import UserError
from components.core.progress import Progress
from components.core.report import Report
from components.core.workers import Workers, pool
from components.corpus.corpus import CorpusWriter, read_corpus
from components.params import Ingest
from components.stages.ingest.ingest_pass import IngestPass
from components.stages.ingest.records import WITHOUT_TEXT, RecordStatus
from components.stages.ingest.report import report_of, samples
from components.stages.ingest.source_counts import SourceCounts

SURE_RECORDS, SURE_ERRORS = 20, 3.0
"""Bad records of a sample, and standard errors of their share above what may be bad, from which the
source surely has too many."""


def ingest(
    *,
    root: Path,
    params: Ingest,
    out: Path,
    reports: Path,
    work: Path,
    workers: Workers = 1,
    progress: Progress = Progress(),  # noqa: B008 - it has no state
) -> Report:
    """Read all sources into `out/{train,heldout,dropped,quarantine}`, and report.

    Args:
        root: the project, to which relative paths in params refer.
        work: folder for text on its way. Of a large corpus, files that a killed run had read are
            not read again.

    Raises:
        UserError: a source is missing, has drifted, is empty, or has too many bad records; or there
            is no text, or none that can be held out.
        Stopped: `progress` asked to stop.
    """
    ingest_pass = IngestPass(params, root, work / "spool", progress)
    raise_if_sample_unfit(ingest_pass, params, work)
    _clear(work, ingest_pass.keep)
    shard_bytes = int(params.shard_megabytes * 1e6)
    try:
        with CorpusWriter(out / "dropped", shard_bytes, dropped=True) as drop:
            with progress.phase("read"):
                _write_entries(ingest_pass, workers, out, work / "kept", drop, progress)
            for line in left_out_lines(ingest_pass.source_counts):
                progress.log(line)
            _raise_if_unfit(ingest_pass, params, work)
            with progress.phase("split"):
                _split(ingest_pass, work / "kept", out, drop, progress)
    finally:
        _clear(work, ingest_pass.keep)
    _clear(work)
    report = report_of(ingest_pass.source_counts, ingest_pass.opt_out, ingest_pass.policy, reports)
    report.write(reports)
    return report


def dry_run(
    *,
    root: Path,
    params: Ingest,
    work: Path,
    workers: Workers = 1,
    progress: Progress = Progress(),  # noqa: B008 - it has no state
) -> tuple[str, str]:
    """Read all sources and count; nothing is written but, in `work`, the list of too many bad records.

    Returns:
        A report with sample documents in Markdown, and why a run would end ("" if it would not).

    Raises:
        UserError: a source is missing, has drifted or is empty.
    """
    ingest_pass = IngestPass(params, root, work / "spool", progress)
    try:
        with pool(ingest_pass.workers(workers)) as running:
            for _ in ingest_pass.entries(running):
                pass
    finally:
        _clear(work)
    _plan_heldout(ingest_pass)
    report = report_of(ingest_pass.source_counts, ingest_pass.opt_out, ingest_pass.policy, None)
    text = f"{report.markdown}\n{samples(ingest_pass.source_counts)}"
    try:
        _raise_if_unfit(ingest_pass, params, work)
    except UserError as error:
        return text, f"a run would end here: {error}"
    return text, ""


def _clear(work: Path, keep: bool = False) -> None:
    """Remove the text on its way; with `keep`, not what was read."""
    for name in ("kept",) if keep else ("kept", "spool"):
        shutil.rmtree(work / name, ignore_errors=True)


def _write_entries(
    ingest_pass: IngestPass, workers: Workers, out: Path, kept: Path, drop: CorpusWriter, progress: Progress
) -> None:
    """Write every entry to where it belongs: kept, dropped, or quarantine (with the evidence beside it)."""
    with ExitStack() as stack:
        keep = stack.enter_context(CorpusWriter(kept, drop.shard_bytes))
        quarantine = stack.enter_context(CorpusWriter(out / "quarantine", drop.shard_bytes, dropped=True))
        evidence = stack.enter_context(open(out / "quarantine" / "records.jsonl", "w", encoding="utf-8", newline="\n"))
        running = stack.enter_context(pool(ingest_pass.workers(workers)))
        for entry in progress.checked(ingest_pass.entries(running)):
            if entry.quarantined:
                quarantine.add(entry.document, entry.rule, entry.reason)
                evidence.write(evidence_line(entry))
            elif entry.rule:
                drop.add(entry.document, entry.rule, entry.reason)
            else:
                keep.add(entry.document)


def left_out_lines(source_counts: dict[str, SourceCounts]) -> Iterator[str]:
    """A line per source with files that were left out whole: they are no records, so no rule for
    bad ones stops for them."""
    for name, counts in source_counts.items():
        if counts.skipped:
            largest, total = max(counts.skipped, key=lambda one: one.num_bytes), len(counts.skipped)
            size = sum(one.num_bytes for one in counts.skipped)
            yield (
                f"{name}: {total} file{'s' if total > 1 else ''} left out whole ({size:,} bytes), the largest "
                f"{largest.file}: {largest.reason}; reports/ingest/details/skipped.csv lists all"
            )


def evidence_line(entry: RecordStatus) -> str:
    """A quarantined record as one line of records.jsonl: where it is, why, and the hash of its bytes."""
    document = entry.document
    fields = {
        "source": document.source,
        "file": document.location.split("#")[0],
        "line": entry.line,
        "byte_offset": entry.offset,
        "num_bytes": entry.num_bytes,
        "sha256": document.sha256,
        "rule": entry.rule,
        "reason": entry.reason,
    }
    return json.dumps(fields, ensure_ascii=False) + "\n"


def _raise_if_unfit(ingest_pass: IngestPass, params: Ingest, work: Path) -> None:
    """Stop on too many bad records, on a source without any, or on no text at all."""
    for name, counts in ingest_pass.source_counts.items():
        if not counts.documents_in:
            empty = "" if counts.skipped else ", for they are empty"
            raise UserError(
                f"ingest source {name}: nothing was found to read ({counts.summary()}{empty}); correct its path, "
                "pattern or field, or leave the source out"
            )
        if counts.bad_share() > params.max_quarantine:
            raise UserError(_too_many_bad(name, counts, params, work))
    source_counts = ingest_pass.source_counts.values()
    if not any(counts.kept for counts in source_counts):
        summaries = "; ".join(f"{name}: {counts.summary()}" for name, counts in ingest_pass.source_counts.items())
        raise UserError(f"no document is left to train on ({summaries}); see ingest.sources, min_bytes and licences")


def raise_if_sample_unfit(ingest_pass: IngestPass, params: Ingest, work: Path) -> None:
    """Stop before all is read where a sample leaves no doubt how that would end.

    Raises:
        UserError: a source surely has too many bad records, a text without a licence, or no text
            that would be kept.
    """
    sampled = ingest_pass.trial()
    for name, counts in sampled.items():
        rate = counts.bad_share()
        lower = rate - SURE_ERRORS * math.sqrt(rate * (1 - rate) / max(1, counts.documents_in))
        if counts.bad >= SURE_RECORDS and lower > params.max_quarantine:
            raise UserError(_too_many_bad(name, counts, params, work, "of a sample of "))
    if all(counts.documents_in >= SURE_RECORDS and not counts.kept for counts in sampled.values()):
        summaries = "; ".join(f"{name}: {counts.summary()}" for name, counts in sampled.items())
        raise UserError(f"by a sample no document is left to train on ({summaries}); see ingest.sources, min_bytes and "
                        "licences")  # fmt: skip


def _too_many_bad(name: str, counts: SourceCounts, params: Ingest, work: Path, of: str = "of ") -> str:
    bad, total = counts.bad, counts.documents_in
    work.mkdir(parents=True, exist_ok=True)
    listing = work / "quarantine.jsonl"
    listed = [one for one in counts.bad_records if one.rule not in WITHOUT_TEXT]
    listing.write_text("".join(map(evidence_line, listed)), encoding="utf-8")
    first = listed[0]
    where = f"{first.document.location.split('#')[0]} line {first.line}" if first.line else first.document.location
    rules = ", ".join(f"{count} {rule}" for rule, count in counts.quarantined.most_common() if rule not in WITHOUT_TEXT)
    enough = math.ceil(100 * bad / total) / 100
    return (
        f"ingest source {name}: {bad} {of}{total} records are bad ({bad / total:.0%}; ingest.max_quarantine allows "
        f"{params.max_quarantine:.0%}): {rules}; the first in {where}: {first.rule}, {first.reason}; fix them (list: "
        f"{listing}), leave their files out with `pattern`, or add the line `max_quarantine: {enough:g}` below "
        "`ingest:` in params.yaml"
    )


def _plan_heldout(ingest_pass: IngestPass) -> None:
    """Note in the counts of each source what its works will give."""
    for name, counts in ingest_pass.source_counts.items():
        counts.works = ingest_pass.split.works(name) if counts.kept else None


def _split(ingest_pass: IngestPass, kept: Path, out: Path, drop: CorpusWriter, progress: Progress) -> None:
    """Split the kept documents into train and heldout; parts of other editions of held-out works are dropped.

    Raises:
        UserError: no text could be held out.
    """
    _plan_heldout(ingest_pass)
    with (
        CorpusWriter(out / "train", drop.shard_bytes) as train,
        CorpusWriter(out / "heldout", drop.shard_bytes) as held,
    ):
        for document in progress.checked(read_corpus(kept)):
            counts, num_bytes = ingest_pass.source_counts[document.source], len(document.text.encode())
            for side, piece in ingest_pass.split.sides(document, num_bytes):
                if side == "train":
                    train.add(piece)
                elif side == "heldout":
                    held.add(piece)
                    counts.count_heldout(piece, len(piece.text.encode()))
                else:
                    drop.add(piece, side, f"the held-out set has this part of {piece.group} in another edition")
                    counts.drop_kept(piece, num_bytes, side)
    if not held.manifest.num_documents:
        raise UserError(
            "nothing can be held out to evaluate the models on, because the text is one piece too short to be "
            "cut; give more text (some 4000 characters at least)"
        )
    for name, counts in ingest_pass.source_counts.items():
        counts.reconcile(name)

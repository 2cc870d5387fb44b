"""One ordered pass over all sources: keep, drop or quarantine each record, and count it.

What a worker that sees one file cannot know is decided here, in the order of the files: repeated ids, the licence
policy, a source that is full. So the outcome is the same whatever the number of workers.
"""

import functools
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from components.core.errors import UserError
from components.core.files import sha256_bytes
from components.core.plain_text import plain_name
from components.core.progress import Progress
from components.core.workers import Pool, Workers, at_most
from components.params import Ingest
from components.stages.ingest.file_reading import FileTask, ReadResult, first_entries, local_inputs, read_file
from components.stages.ingest.heldout_split import HeldoutSplit
from components.stages.ingest.licences import UNKNOWN, Policy
from components.stages.ingest.opt_out import RULE as OPTED_OUT
from components.stages.ingest.opt_out import load as load_opt_out
from components.stages.ingest.readers import NotText
from components.stages.ingest.records import RecordStatus, Skipped, encoded
from components.stages.ingest.source_counts import SourceCounts
from components.stages.ingest.sources import Listing, listings, sampled

RESUMED_BYTES = 100_000_000
"""With more to read than this, results are kept for a run after a kill; less is read again in seconds."""

SMALL_BYTES = 6_000_000
"""Up to so much text a pool costs more than it saves: its processes start in half a second."""


class IngestPass:
    """One pass over all sources.

    Attributes:
        opt_out: the opt-out list.
        source_counts: counts per source, complete when `entries` has ended.
        split: has then observed every group that was kept.
        keep: whether what was read stays in `spool` for a run after a kill.

    Raises:
        UserError: see `listings`, `Policy` and `opt_out.load`.
    """

    def __init__(self, params: Ingest, root: Path, spool: Path, progress: Progress) -> None:
        self.policy = Policy(params.licences)
        self.opt_out = load_opt_out(root / params.opt_out)
        self.listings = listings(params, root)
        self.source_counts = {listing.name: SourceCounts() for listing in self.listings}
        self.split = HeldoutSplit(params.heldout_fraction, params.heldout_salt)
        self.progress = progress
        self._spool = spool
        self._to_read = sum(listing.num_bytes for listing in self.listings)
        self.keep = self._to_read > RESUMED_BYTES
        self._read = functools.partial(read_file, spool, root / params.opt_out, self.keep)
        self._inputs = functools.partial(local_inputs, root / params.opt_out)
        self._done = self._bytes = 0

    def workers(self, wanted: Workers) -> Workers:
        """Number of workers worth starting for the files to read."""
        return wanted if self._to_read > SMALL_BYTES else at_most(wanted, 1)

    def trial(self) -> dict[str, SourceCounts]:
        """Counts of a sample of each source's local files, judged as in the pass, which counts them again."""
        by_source = {listing.name: SourceCounts() for listing in self.listings}
        for listing in self.listings:
            counts = by_source[listing.name]
            for task, num_bytes in sampled(listing):
                keys: set[int] = set()
                with suppress(NotText):
                    for entry in first_entries(task, num_bytes):
                        counts.count(entry if entry.rule else self._decided(entry, listing, counts, keys))
        return by_source

    def entries(self, running: Pool) -> Iterator[RecordStatus]:
        """All entries, in order."""
        for listing in self.listings:
            yield from self._of_source(listing, running)
            self.source_counts[listing.name].reconcile(listing.name)

    def _of_source(self, listing: Listing, running: Pool) -> Iterator[RecordStatus]:
        counts = self.source_counts[listing.name]
        counts.skipped = listing.skipped
        results, size = running.map(self._read, listing.tasks, self._inputs), 0
        for number, (task, result) in enumerate(zip(listing.tasks, results, strict=True), 1):
            if result.skipped:
                listing.skipped.append(Skipped(plain_name(task.location), plain_name(result.skipped), task.size))
            else:
                counts.files += 1
            yield from self._of_file(result, listing, counts)
            if result.in_part:
                counts.in_part.append(plain_name(task.location))
            size += task.size
            self._progress(listing, counts, size, task)
            if listing.max_bytes and counts.bytes_read >= listing.max_bytes:
                counts.files_not_read = len(listing.tasks) - number
                break
        self._done += listing.num_bytes

    def _of_file(self, result: ReadResult, listing: Listing, counts: SourceCounts) -> Iterator[RecordStatus]:
        keys: set[int] = set()  # of this file: two files may both number their rows from 0
        for entry in result.entries(self._spool):
            if not entry.rule:
                entry = self._decided(entry, listing, counts, keys)
            counts.count(entry)
            if entry.rule in ("", OPTED_OUT):
                self.split.observe(entry.document, entry.num_bytes, bool(entry.rule))
            if not entry.rule:
                self._bytes += entry.num_bytes
            yield entry

    def _decided(self, entry: RecordStatus, listing: Listing, counts: SourceCounts, keys: set[int]) -> RecordStatus:
        if entry.key:
            key = int(sha256_bytes(encoded(entry.key))[:15], 16)  # a number: millions of them must fit
            if key in keys:
                return entry.as_quarantined("duplicate_id", f"another record of the file has the id {entry.key!r}")
            keys.add(key)
        licence = entry.document.licence
        if licence == UNKNOWN and self.policy.unknown == "refuse":
            raise UserError(
                f"ingest source {listing.name}: {entry.document.location} states no licence, and "
                "ingest.licences.unknown is `refuse`; state it with `licence`, or choose `keep` or `drop`"
            )
        refusal = self.policy.refusal(licence)
        if refusal:
            return entry.as_dropped("licence", refusal)
        if listing.max_bytes and counts.bytes_read >= listing.max_bytes:
            return entry.as_dropped("over_limit", f"the source is full at {listing.max_bytes / 1e6:g} MB")
        return entry

    def _progress(self, listing: Listing, counts: SourceCounts, size: int, task: FileTask) -> None:
        """Bytes read of those to read; a source with a limit is done when it is full, or when all its files are read.

        Args:
            size: bytes of the files of this source so far.
        """
        done = listing.num_bytes * size // max(1, listing.size)
        if listing.max_bytes:
            done = max(done, min(counts.bytes_read, listing.num_bytes))
        note = f"{self._bytes / 1e6:.1f} MB  {task.location}"
        self.progress.update(self._done + done, self._to_read or None, "bytes", note)

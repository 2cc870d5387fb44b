"""Counts of each source: records that came in, and how many were kept, dropped or quarantined, by rule."""

import heapq
from collections import Counter
from dataclasses import dataclass, field

from components.corpus.corpus import Document, reconcile
from components.stages.ingest.heldout_split import Works
from components.stages.ingest.opt_out import RULE as OPTED_OUT
from components.stages.ingest.records import RecordStatus, Skipped

SAMPLES = 3
"""Sample documents per source: those of the lowest hash, so the same ones every time."""

LISTED = 1000
"""Quarantined records and held-out groups that are listed one by one; all are in the corpora."""


@dataclass
class SourceCounts:
    """Counts of one source. Bytes are UTF-8 bytes of text.

    `cut` has what the reader removed from a file: location, rule, bytes. `bytes` has a row per file: location, bytes
    of the unpacked file, bytes kept, dropped, quarantined and cut, which add up. `in_part` has the files before whose
    end the source was full: location, bytes read, bytes on disk (0 of the hub). `unread` has the records with a field
    that is not read, by its name. `works` is set when all are read.
    """

    files: int = 0
    files_not_read: int = 0
    documents_in: int = 0
    kept: int = 0
    kept_bytes: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    quarantined: Counter[str] = field(default_factory=Counter)
    heldout: int = 0
    heldout_bytes: int = 0
    licences: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    heldout_groups: dict[str, int] = field(default_factory=dict)
    works: Works | None = None
    bad_records: list[RecordStatus] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    cut: list[tuple[str, str, int]] = field(default_factory=list)
    bytes: list[tuple[str, int, int, int, int, int]] = field(default_factory=list)
    in_part: list[tuple[str, int, int]] = field(default_factory=list)
    unread: Counter[str] = field(default_factory=Counter)
    opted_out: Counter[str] = field(default_factory=Counter)
    refused_licences: Counter[tuple[str, str]] = field(default_factory=Counter)
    _samples: list[tuple[int, str, Document]] = field(default_factory=list)

    def count(self, entry: RecordStatus) -> None:
        """Count an entry by its status."""
        self.documents_in += 1
        if entry.quarantined:
            self.quarantined[entry.rule] += 1
            if len(self.bad_records) < LISTED:
                self.bad_records.append(entry)
        elif entry.rule:
            self.dropped[entry.rule] += 1
            if entry.rule == OPTED_OUT:
                self.opted_out[entry.reason] += 1
            elif entry.rule == "licence":
                self.refused_licences[entry.document.licence, entry.document.licence_from] += 1
        else:
            self._keep(entry.document, entry.num_bytes)

    def count_file(self, location: str, num_bytes: int, by_status: Counter[str], cut: dict[str, int]) -> None:
        """Count a file that was read to its end.

        Args:
            num_bytes: of the file, unpacked; of Parquet those of its text column.
            by_status: of these, bytes "kept", "dropped" and "quarantined".
            cut: bytes that became no part of any record, by rule.

        Raises:
            AssertionError: they do not add up, which is a mistake of the reader.
        """
        parts = (by_status["kept"], by_status["dropped"], by_status["quarantined"], sum(cut.values()))
        names = ("kept", "dropped", "quarantined", "cut")
        shown = " + ".join(f"{part} {name}" for part, name in zip(parts, names, strict=True))
        assert sum(parts) == num_bytes, f"ingest {location}: {num_bytes} bytes in, but {shown}"
        self.bytes.append((location, num_bytes, *parts))
        self.cut += [(location, rule, size) for rule, size in sorted(cut.items())]

    def _keep(self, document: Document, num_bytes: int) -> None:
        self.kept += 1
        self.kept_bytes += num_bytes
        for_licence = self.licences.setdefault((document.licence, document.licence_from), [0, 0])
        for_licence[0] += 1
        for_licence[1] += num_bytes
        heapq.heappush(self._samples, (-int(document.sha256[:12], 16), document.id, document))
        if len(self._samples) > SAMPLES:
            heapq.heappop(self._samples)

    def count_heldout(self, document: Document, num_bytes: int) -> None:
        """Count a kept document as held out."""
        self.heldout += 1
        self.heldout_bytes += num_bytes
        if document.group in self.heldout_groups or len(self.heldout_groups) < LISTED:
            self.heldout_groups[document.group] = self.heldout_groups.get(document.group, 0) + num_bytes

    def drop_kept(self, document: Document, num_bytes: int, rule: str) -> None:
        """Count a document as dropped that was counted as kept."""
        self.dropped[rule] += 1
        self.kept -= 1
        self.kept_bytes -= num_bytes
        for_licence = self.licences[document.licence, document.licence_from]
        for_licence[0] -= 1
        for_licence[1] -= num_bytes

    def samples(self) -> list[Document]:
        """Some kept documents, the same for the same corpus."""
        return [document for _, _, document in sorted(self._samples, reverse=True)]

    def reconcile(self, source: str) -> None:
        """Check that in = kept + dropped + quarantined."""
        reconcile(f"ingest {source}", self.documents_in, self.kept, dict(self.dropped), self.quarantined.total())

    def summary(self) -> str:
        """A few words on the files and records that came in, and how many were kept or lost."""
        lost = [f"{count} {rule}" for rule, count in sorted((self.dropped + self.quarantined).items())]
        reasons = Counter(one.reason for one in self.skipped)
        lost += [f"{count} files left out: {reason}" for reason, count in sorted(reasons.items())]
        return ", ".join([f"{self.documents_in} records in {self.files} files, {self.kept} kept", *lost])

    def cut_bytes(self) -> dict[str, int]:
        """Bytes that were removed from the text of files, by rule."""
        rules = sorted({rule for _, rule, _ in self.cut})
        return {rule: sum(num_bytes for _, name, num_bytes in self.cut if name == rule) for rule in rules}

    def quarantine_rate(self) -> float:
        """Share of the records that came in which are quarantined."""
        return self.quarantined.total() / self.documents_in if self.documents_in else 0.0

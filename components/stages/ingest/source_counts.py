"""Counts of each source: records that came in, and how many were kept, dropped or quarantined, by rule."""

import heapq
from collections import Counter
from dataclasses import dataclass, field

from components.core.plain_text import counted
from components.corpus.corpus import Document, reconcile
from components.stages.ingest.heldout_split import Works
from components.stages.ingest.opt_out import RULE as OPTED_OUT
from components.stages.ingest.records import WITHOUT_TEXT, RecordStatus, Skipped

SAMPLES = 3
"""Sample documents per source: those of the lowest hash, so the same ones every time."""

LISTED = 1000
"""Quarantined records of a rule, and held-out groups, that are listed one by one; all are in the corpora."""


@dataclass
class SourceCounts:
    """Counts of one source. Bytes are UTF-8 bytes of text.

    `in_part` has the locations of the files before whose end the source was full. `works` is set when all are read.
    `bytes_read` are those that count against its limit: kept or opted out, so that nothing comes in the place of what
    is opted out.
    """

    files: int = 0
    files_not_read: int = 0
    documents_in: int = 0
    kept: int = 0
    kept_bytes: int = 0
    bytes_read: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    quarantined: Counter[str] = field(default_factory=Counter)
    heldout: int = 0
    heldout_bytes: int = 0
    licences: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    heldout_groups: dict[str, int] = field(default_factory=dict)
    works: Works | None = None
    bad_records: list[RecordStatus] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    in_part: list[str] = field(default_factory=list)
    opted_out: Counter[str] = field(default_factory=Counter)
    refused_licences: Counter[tuple[str, str]] = field(default_factory=Counter)
    _samples: list[tuple[int, str, Document]] = field(default_factory=list)

    def count(self, entry: RecordStatus) -> None:
        """Count an entry by its status."""
        self.documents_in += 1
        if entry.rule in ("", OPTED_OUT):
            self.bytes_read += entry.num_bytes
        if entry.quarantined:
            self.quarantined[entry.rule] += 1
            if self.quarantined[entry.rule] <= LISTED:
                self.bad_records.append(entry)
        elif entry.rule:
            self.dropped[entry.rule] += 1
            if entry.rule == OPTED_OUT:
                self.opted_out[entry.reason] += 1
            elif entry.rule == "licence":
                self.refused_licences[entry.document.licence, entry.document.licence_from] += 1
        else:
            self._keep(entry.document, entry.num_bytes)

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
        reasons = Counter(file.reason for file in self.skipped)
        lost += [f"{counted(count, 'file')} left out: {reason}" for reason, count in sorted(reasons.items())]
        return ", ".join(
            [f"{counted(self.documents_in, 'record')} in {counted(self.files, 'file')}, {self.kept} kept", *lost]
        )

    @property
    def bad(self) -> int:
        """Quarantined records but those that merely have no text."""
        return sum(count for rule, count in self.quarantined.items() if rule not in WITHOUT_TEXT)

    def bad_share(self) -> float:
        """Share of the records that came in which are bad."""
        return self.bad / self.documents_in if self.documents_in else 0.0

"""The data card: what the corpus is made of, under which licences, what was removed, from whom, and what is not known.

Everything in it is read from what the stages left under `data/` and `reports/`; a stage that has not run is left out.
The same facts fill the Croissant description (croissant.py).
"""

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.core.files import read_json
from components.stages.account.model_card import environment
from components.stages.account.summary import Files
from components.stages.account.types import DocumentCounts, StageRecords

LIMITS = (
    "Groups of people are found by a lexicon: it sees mention, not identity and not authorship, knows no names and no "
    "irony, and is English.",
    "Licences are what the sources state; whether a statement is true, or covers what a text quotes, was not checked.",
    "Personal data is found by patterns and checksums: names and postal addresses are not found.",
    "Quality rules judge the form of a text, not whether it is true or worth learning from.",
    "What was never collected is in none of these tables.",
)
"""What the tables cannot know."""


@dataclass(frozen=True)
class DataFacts:
    """What the stages recorded of the data.

    Attributes:
        documents: stage -> counts. mixture: those of the text that models are trained on; None before there is any.
        tables: CSV of the reports by `stage/name`, rows as text; empty where there is none.
        metrics: stage -> metrics.
        sources: source -> what ingest read, kept, dropped and put aside.
        mixing: what the mix stage recorded of its mitigations: `augment`, `group_weights`.
        overlap: held-out source -> share of its 13-grams that training text repeats.
    """

    documents: dict[str, DocumentCounts]
    mixture: DocumentCounts | None
    tables: dict[str, list[dict[str, str]]]
    metrics: dict[str, dict[str, float]]
    sources: dict[str, dict[str, Any]]
    mixing: dict[str, Any]
    overlap: dict[str, float]

    @property
    def licences(self) -> list[str]:
        """Licences of the text that models are trained on."""
        return sorted(self.mixture.licences) if self.mixture else []

    @property
    def personal(self) -> dict[str, int]:
        """Kind of personal data -> finds redacted."""
        found: dict[str, int] = {}
        for row in self.tables["filter/personal"]:
            found[row["kind"]] = found.get(row["kind"], 0) + int(row["found"])
        return found

    @property
    def left_out(self) -> dict[str, int]:
        """Reason -> files of all sources that ingest did not read whole; what most bytes were lost by comes first."""
        found, sizes = Counter[str](), Counter[str]()
        for row in self.sources.values():
            found.update(row.get("files_skipped", {}))
            found.update({BEYOND_LIMIT: row.get("files_not_read", 0), IN_PART: row.get("files_in_part", 0)})
            sizes.update(row.get("bytes_skipped", {}))
        ordered = sorted(found.items(), key=lambda item: (-sizes[item[0]], -item[1], item[0]))
        return {reason: files for reason, files in ordered if files}

    @property
    def left_out_bytes(self) -> int:
        """Bytes of these files, without those beyond a source's limit."""
        return sum(sum(row.get("bytes_skipped", {}).values()) for row in self.sources.values())

    @property
    def unjudged(self) -> str:
        """Why the toxicity filter says nothing of groups in this corpus; empty if it does."""
        metrics = self.metrics.get("bias", {})
        unjudged, of = (int(metrics.get(f"documents_{name}", 0)) for name in ("unjudged", "in"))
        if 2 * unjudged <= of:
            return ""
        return (
            f"of {unjudged:,} of {of:,} documents the toxicity scorer knows less than half, so it judged none of them"
        )

    @property
    def mentions(self) -> dict[str, tuple[int, int]]:
        """Group -> documents that mention it before and after the bias filter, all sources together."""
        found: dict[str, tuple[int, int]] = {}
        for row in self.tables["bias/mentions"]:
            before, after = found.get(row["group"], (0, 0))
            found[row["group"]] = (before + int(row["documents"]), after + int(row["documents_kept"]))
        return {group: counts for group, counts in found.items() if counts[0]}


BEYOND_LIMIT = "beyond the limit of their source"
IN_PART = "the rest of a file, beyond the limit of its source"
TABLES = ("ingest/licences", "ingest/opted_out", "filter/personal", "bias/mentions", "bias/disparate_impact")


def data_facts(file: Files, records: StageRecords) -> DataFacts:
    """Facts on the data of a checkout or of another state."""
    return DataFacts(
        documents=records.documents,
        mixture=records.mixture,
        tables={name: _rows(file(f"reports/{name.replace('/', '/details/')}.csv")) for name in TABLES},
        metrics=records.metrics,
        sources=_facts(file, "ingest").get("sources", {}),
        mixing=_facts(file, "mix"),
        overlap=_facts(file, "tokenize").get("overlap", {}),
    )


def _rows(path: Path | None) -> list[dict[str, str]]:
    if path is None:
        return []
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _facts(file: Files, stage: str) -> dict[str, Any]:
    path = file(f"reports/{stage}/details/facts.json")
    return dict(read_json(path)) if path else {}


def data_card(facts: DataFacts, title: str) -> str:
    """The card as Markdown."""
    return str(environment().get_template("data.md.j2").render(facts=facts, title=title, limits=LIMITS))

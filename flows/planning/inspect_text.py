"""A look at a user's own text before anything runs: what is there, how much, in which language, in which field.

Nothing is judged here that a stage judges later; this is what `make run DATA=path` plans with. It reads a sample and
the sizes of the files, so that it takes seconds whatever the size.
"""

import csv
import json
import re
from collections import Counter
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from components.core.errors import UserError
from components.stages.ingest.readers import COMPRESSION, NotText, Options, format_of, open_bytes, records_of
from components.stages.ingest.records import Record
from flows.system import paths

TEXT_PER_BYTE = {"text": 1.0, "html": 0.4, "json": 0.9, "jsonl": 0.9, "csv": 0.9, "parquet": 2.0}
"""Bytes of text per byte of a file, roughly, by format."""
UNPACKED = 3.0
"""Bytes of text per byte of a compressed file, roughly."""
SAMPLE_FILES, SAMPLE_RECORDS, SAMPLE_CHARS = 16, 4, 2000
UNSPACED = ("zh", "ja", "th", "lo", "km", "my", "bo", "dz")
"""Languages written without spaces between words (ISO 639-1)."""
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@(?P<revision>[\w.-]+))?")
COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class OwnText:
    """What was found.

    Attributes:
        kind: `files` or `hub`.
        place: absolute path, or hub id.
        revision: commit of the hub data set; empty for files.
        num_bytes: estimate of the text's bytes; 0 if unknown (hub).
        files: how many files will be read.
        text_field: field that holds the text, for formats that have fields.
        language: ISO 639-1 code of most of the sample; empty if unknown.
    """

    kind: str
    place: str
    revision: str = ""
    num_bytes: int = 0
    files: int = 0
    text_field: str = "text"
    language: str = ""

    @property
    def name(self) -> str:
        """Name of the source in reports: from the folder's or the data set's name."""
        words = Path(self.place).name.split(".")[0] if self.kind == "files" else self.place.split("/")[-1]
        return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-") or "own-text"


def look(data: str) -> OwnText:
    """Look at what `DATA=` names.

    Raises:
        UserError: there is nothing, nothing readable, or it lies where Greenhouse itself writes.
    """
    path = Path(data).expanduser()
    if path.exists():
        return _look_at_files(path.resolve())
    match = HUB_ID.fullmatch(data)
    if match and not data.startswith((".", "/")):
        return _hub(data, match["revision"] or "")
    raise UserError(f"DATA={data}: no such file or folder, and no hub id (owner/name@commit); correct the path")


def _hub(data: str, revision: str) -> OwnText:
    dataset = data.split("@")[0]
    if not COMMIT.fullmatch(revision):
        commits = f"https://huggingface.co/datasets/{dataset}/commits/main"
        raise UserError(
            f"DATA={data}: no such file or folder; if it is a hub data set, name the commit to read, since a branch "
            f"moves: DATA={dataset}@<40 hex digits>, from {commits}"
        )
    return OwnText("hub", dataset, revision)


def _look_at_files(path: Path) -> OwnText:
    _refuse_own_outputs(path)
    files = [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.is_file())
    readable = [one for one in files if format_of(one.name) and one.stat().st_size]
    if not readable:
        kinds = Counter(one.suffix or "no suffix" for one in files)
        seen = f"{len(files)} files ({', '.join(kind for kind, _ in kinds.most_common(4))})" if files else "no files"
        raise UserError(
            f"DATA={path}: {seen}, none that can be read; "
            "give txt, md, rst, html, json, jsonl, csv, tsv or parquet, plain or .gz, .zst"
        )
    sample = _spread(readable, SAMPLE_FILES)
    text_field = _text_field(sample)
    texts = _texts(sample, text_field)
    size = round(sum(_text_bytes(one) for one in readable))
    return OwnText("files", str(path), "", size, len(readable), text_field, _language(texts))


def _refuse_own_outputs(path: Path) -> None:
    """DVC cannot watch what it writes, and Greenhouse must not eat its own outputs."""
    for own in (*(paths.ROOT / name for name in ("data", "models", "reports", ".dvc", ".git", ".venv")), paths.STATE):
        if path == own or path.is_relative_to(own) or own.is_relative_to(path):
            raise UserError(f"DATA={path}: Greenhouse itself writes to {own}; put your text into a folder of its own")


def _spread(files: list[Path], count: int) -> list[Path]:
    """`count` files, evenly spread over the list."""
    step = max(1, len(files) // count)
    return files[::step][:count]


def _text_bytes(path: Path) -> float:
    packed = UNPACKED if path.suffix.lower() in COMPRESSION else 1.0
    return path.stat().st_size * TEXT_PER_BYTE[format_of(path.name)] * packed


# -- fields and language -----------------------------------------------------------------------------------------------


def _text_field(files: list[Path]) -> str:
    """`text` where records have it, else the field with the longest values.

    Raises:
        UserError: the records have fields, and none of them holds text.
    """
    for path in files:
        rows = _first_rows(path)
        if rows is None:
            continue
        if any("text" in row for row in rows):
            return "text"
        lengths: Counter[str] = Counter()
        for row in rows:
            lengths.update({key: len(value) for key, value in row.items() if isinstance(value, str) and key})
        if not lengths:
            raise UserError(f"DATA={path}: its records have no field that holds text; correct the file")
        return lengths.most_common(1)[0][0]
    return "text"


def _first_rows(path: Path) -> list[dict] | None:
    """Some records of a file that has fields; None for formats without."""
    kind = format_of(path.name)
    if kind == "parquet":
        import pyarrow.parquet as pq

        batches = pq.ParquetFile(path).iter_batches(batch_size=20)
        return next((batch.to_pylist() for batch in batches), [])
    if kind not in ("jsonl", "csv"):
        return None
    with open_bytes(path) as file:
        lines = [line.decode("utf-8", "replace") for line in islice(file, 20)]
    if kind == "csv":
        dialect = "excel-tab" if ".tsv" in path.suffixes else "excel"
        return list(csv.DictReader(lines, dialect=dialect))
    return [row for row in map(_parsed, lines) if isinstance(row, dict)]


def _parsed(line: str) -> object:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _texts(files: list[Path], text_field: str) -> list[str]:
    """The beginning of some records of each file; what cannot be read is left to ingest."""
    texts = []
    for path in files:
        try:
            records = records_of(path, format_of(path.name), Options(text_field))
            texts += [one.text[:SAMPLE_CHARS] for one in islice(records, SAMPLE_RECORDS) if isinstance(one, Record)]
        except (NotText, UserError):
            continue
    return texts


def _language(texts: list[str]) -> str:
    """The language of most of the texts."""
    import py3langid

    votes = Counter(py3langid.classify(text)[0] for text in texts if len(text) >= 40)
    return votes.most_common(1)[0][0] if votes else ""

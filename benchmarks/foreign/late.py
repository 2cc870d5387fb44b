"""Runs that fail late: odd folders, looked at and ingested as `greenhouse run --data` does.

Late is a refusal after a tenth of the folder's bytes or more were read: as the readers took them, in the look and the
stage, each time that a file is read; of Parquet, what its reader asks for. What the operating system reads ahead, 1 MB
of a file, is not counted. The folders are made here, by who wrote the checks; the last twenty-two by who looked for
faults.
"""

import gzip
import json
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.results import goal, write_rows
from components.core.errors import UserError
from components.params import Files, Ingest, LicencePolicy
from components.stages.ingest import tabular
from components.stages.ingest.stage import ingest
from components.text.opening import OpenFile
from flows.planning.inspect_text import inspect

FOLDER_BYTES, PIECE, FILES, TENTH = 24_000_000, 400, 4, 0.1
RowWriter = Callable[[int, str], bytes]
"""Number and text of a row -> its line."""


def texts() -> list[str]:
    """Pieces of the files of numpy, some 24 MB, each with its own number."""
    source = "".join(path.read_text("utf-8") for path in sorted(Path(numpy.__file__).parent.rglob("*.py")))
    source = (source * (FOLDER_BYTES // len(source) + 1))[:FOLDER_BYTES]
    return [f"{at}: {source[at : at + PIECE]}" for at in range(0, len(source), PIECE)]


def line(**fields: object) -> bytes:
    """A line of jsonl."""
    return json.dumps(fields).encode() + b"\n"


def rows(row: RowWriter, suffix: str = ".jsonl", head: bytes = b"", packed: Callable[[bytes], bytes] = bytes) -> Any:
    """A maker of a folder with `FILES` tables; rows are numbered from 0 in each."""

    def make(folder: Path, pieces: list[str]) -> None:
        for number in range(FILES):
            lines = (row(at, text) for at, text in enumerate(pieces[number::FILES]))
            (folder / f"{number}{suffix}").write_bytes(packed(head + b"".join(lines)))

    return make


def files(write: Callable[[Path, int, str], object], pieces_each: int = 4) -> Any:
    """A maker of a folder with a small file for every few pieces."""

    def make(folder: Path, pieces: list[str]) -> None:
        for number, at in enumerate(range(0, len(pieces), pieces_each)):
            path = folder / f"{number % 50:02}" / f"{number}.txt"
            path.parent.mkdir(exist_ok=True)
            write(path, number, "\n".join(pieces[at : at + pieces_each]))

    return make


def beside(**others: bytes) -> Any:
    """A maker of a folder with good rows, and other files beside them (`_` in a name stands for a dot)."""

    def make(folder: Path, pieces: list[str]) -> None:
        rows(good)(folder, pieces)
        for name, data in others.items():
            (folder / name.replace("_", ".")).write_bytes(data)

    return make


def good(at: int, text: str) -> bytes:
    """A row with nothing odd."""
    return line(text=text)


def broken(share: float) -> RowWriter:
    """Rows of which so many are cut off."""
    chance = random.Random(3)
    return lambda at, text: line(text=text)[:60] + b"\n" if chance.random() < share else line(text=text)


def tables(folder: Path, pieces: list[str]) -> None:
    """Parquet with ids from 0 in each."""
    for number in range(FILES):
        part = pieces[number::FILES]
        pq.write_table(pa.table({"text": part, "id": range(len(part))}), folder / f"{number}.parquet")


def csv_row(at: int, text: str) -> bytes:
    """A row of CSV with an id and a label."""
    quoted = text.replace('"', "'")
    return f'{at},"{quoted}",{at % 3}\n'.encode()


def second_half(at: int, text: str) -> bytes:
    """Rows that are sound to the middle of a file."""
    return good(at, text) if at < FOLDER_BYTES / PIECE / FILES / 2 else b"\xff" + good(at, text)


def arrays(item: Callable[[int, str], object], count: int = 1) -> Any:
    """A maker of a folder with so many JSON arrays."""

    def make(folder: Path, pieces: list[str]) -> None:
        for number in range(count):
            items = [item(at, text) for at, text in enumerate(pieces[number::count])]
            (folder / f"{number}.json").write_text(json.dumps(items))

    return make


def scripts(folder: Path, pieces: list[str]) -> None:
    """Pages without text."""
    for number in range(FILES):
        parts = (f"<script>var x='{at}'; {'x' * 300}</script>" for at in range(len(pieces[number::FILES])))
        (folder / f"{number}.html").write_text(f"<html><body>{''.join(parts)}</body></html>")


def one_row(folder: Path, pieces: list[str]) -> None:
    """Parquet with all text in one row."""
    pq.write_table(pa.table({"text": ["".join(pieces)]}), folder / "0.parquet")


def half_null(folder: Path, pieces: list[str]) -> None:
    """Parquet in which the second half of each file has no text."""
    for number in range(FILES):
        part = pieces[number::FILES]
        half = len(part) // 2
        table = pa.table({"text": part[:half] + [None] * (len(part) - half)})
        pq.write_table(table, folder / f"{number}.parquet", row_group_size=1000)


def columns_differ(folder: Path, pieces: list[str]) -> None:
    """Parquet of which every other file has lists in the place of texts."""
    for number in range(FILES):
        texts = [[text] if number % 2 else text for text in pieces[number::FILES]]
        pq.write_table(pa.table({"text": texts}), folder / f"{number}.parquet", row_group_size=1000)


def one_name(folder: Path, pieces: list[str]) -> None:
    """Parquet with two columns of the same name."""
    for number in range(FILES):
        column = pa.array(pieces[number::FILES])
        pq.write_table(pa.Table.from_arrays([column, column], ["text", "text"]), folder / f"{number}.parquet")


def half_broken(folder: Path, pieces: list[str]) -> None:
    """Four files, of which two have a broken row on each line."""
    for number in range(FILES):
        lines = (line(text=one) if number < 2 else b"{broken\n" for one in pieces[number::FILES])
        (folder / f"{number}.jsonl").write_bytes(b"".join(lines))


def rows_or_commas(folder: Path, pieces: list[str]) -> None:
    """Four files, of which two have the rows of a JSON array without its brackets."""
    for number in range(FILES):
        ends = b"\n" if number < 2 else b",\n"
        rows_of = (good(0, text)[:-1] + ends for text in pieces[number::FILES])
        (folder / f"{number}.jsonl").write_bytes(b"".join(rows_of))


def no_text(at: int, text: str) -> object:
    """An item whose text is empty."""
    return {"text": "", "url": "https://a.org/" + "a" * 300}


UNSTATED = LicencePolicy(unknown="refuse")
TABLES = {"names_csv": b"name,born\n" + b"somebody,1900\n" * 9000, "side_jsonl": line(name="a", born=1) * 9000}
FOLDERS: dict[str, Any] = {
    "ids from 0 in every jsonl": rows(lambda at, text: line(id=at, text=text)),
    "ids from 0 in every csv": rows(csv_row, ".csv", b"id,text,other\n"),
    "ids from 0 in every parquet": tables,
    "one id for all rows": rows(lambda at, text: line(id="corpus", text=text)),
    "ids that are topics": rows(lambda at, text: line(id=at % 20, text=text)),
    "a label column": rows(lambda at, text: line(text=text, label=at % 3)),
    "lists of labels": rows(lambda at, text: line(text=text, labels=["a", "b"][: at % 3])),
    "a label column in csv": rows(csv_row, ".csv", b"nr,text,label\n"),
    "text in another field": rows(lambda at, text: line(url=f"https://a.org/{at}", body=text)),
    "chats": rows(lambda at, text: line(messages=[{"role": "user", "content": text}])),
    "preferences": rows(lambda at, text: line(prompt=text[:50], chosen=text, rejected=text[:9])),
    "numbers alone": rows(lambda at, text: line(x=at, y=at / 7, note=None)),
    "texts of ten bytes": rows(lambda at, text: line(text=f"row {at}", url="https://a.org/" + "a" * 300)),
    "empty texts": rows(lambda at, text: line(text="", url="https://a.org/" + "a" * 300)),
    "texts that are lists": rows(lambda at, text: line(text=[text])),
    "2% of the lines cut off": rows(broken(0.02)),
    "8% of the lines cut off": rows(broken(0.08)),
    "half of the lines cut off": rows(broken(0.5)),
    "the second half of each file is no utf-8": rows(second_half),
    "a csv named jsonl": rows(csv_row, ".jsonl", b"id,text,other\n"),
    "packed": rows(good, ".jsonl.gz", packed=lambda data: gzip.compress(data, 1)),
    "packed and cut off": rows(good, ".jsonl.gz", packed=lambda data: gzip.compress(data, 1)[:-5000]),
    "packed in name only": rows(good, ".jsonl.gz"),
    "no licence, which is refused": rows(good),
    "latin-1 files": files(lambda path, _, text: path.write_bytes(f"Größe {text}".encode("latin-1", "replace"))),
    "1% latin-1 files": files(
        lambda path, number, text: path.write_bytes(("é" * (number % 100 == 0) + text).encode("latin-1", "replace"))
    ),
    "utf-16 files": files(lambda path, _, text: path.write_text(text, "utf-16")),
    "3% of the files empty": files(lambda path, number, text: path.write_text(text if number % 33 else "")),
    "half of the files empty": files(lambda path, number, text: path.write_text(text if number % 2 else "")),
    "half of the files are links to nothing": files(
        lambda path, number, text: path.write_text(text) if number % 2 else path.symlink_to("nowhere")
    ),
    "pictures named txt": files(lambda path, number, _: path.write_bytes(random.Random(number).randbytes(1600))),
    "tables of another kind beside": beside(**TABLES),
    "pictures and archives beside": beside(a_png=b"\x89PNG" * 9000, a_zip=b"PK\3\4" * 9000, a_pdf=b"%PDF" * 9000),
    "settings and a broken json beside": beside(a_json=b'{"tab": 4}', b_json=b'{"text": ' * 9000),
    "an empty table and an empty text beside": beside(a_csv=b"", a_txt=b"", b_csv=b"text\n"),
    "a json array of empty texts": arrays(no_text),
    "four json arrays of empty texts": arrays(no_text, 4),
    "a json array, half of its texts lists": arrays(lambda at, text: {"text": [text] if at % 2 else text}),
    "four json arrays, a tenth of the texts numbers": arrays(lambda at, text: {"text": text if at % 10 else at}, 4),
    "pages of scripts alone": scripts,
    "the same text on each line": lambda folder, pieces: rows(good)(folder, [pieces[0]] * len(pieces)),
    "one text of 24 MB without a space": lambda folder, _: rows(good)(folder, ["x" * FOLDER_BYTES]),
    "a json array of empty texts beside": beside(z_json=json.dumps([{"text": ""}] * 20_000).encode()),
    "the second half of each parquet without text": half_null,
    "two of four jsonl broken on each line": half_broken,
    "two of four jsonl with a comma after each row": rows_or_commas,
    "one program of 24 MB as a row": lambda folder, pieces: rows(good)(folder, ["".join(pieces)]),
    "a first row of 5 MB in every jsonl": lambda folder, pieces: rows(good)(folder, ["x" * 5_000_000] * 4 + pieces),
    "one json object of 24 MB": lambda folder, pieces: (folder / "0.json").write_bytes(good(0, "".join(pieces))),
    "one csv row of 24 MB": lambda folder, pieces: rows(csv_row, ".csv", b"id,text,other\n")(folder, ["".join(pieces)]),
    "one parquet row of 24 MB": one_row,
    "a json array with one text of 24 MB": lambda folder, pieces: (
        arrays(lambda _, text: {"text": text})(folder, ["".join(pieces)])
    ),
    "lists for texts in every other parquet": columns_differ,
    "two columns of one name in each parquet": one_name,
    "a byte order mark on each line": rows(lambda at, text: b"\xef\xbb\xbf" + good(at, text)),
    "nul characters from the middle on": rows(lambda at, text: line(text="\0" * (at > 7500) + text)),
    "one id for the last third": rows(lambda at, text: line(text=text, id=at if at < 10_000 else "same")),
}  # fmt: skip


def measure() -> tuple[dict, list[dict]]:
    """Folders by how their run ended, and the goal: none late."""
    pieces = texts()
    found = [{"folder": name} | tried(name, make, pieces) for name, make in FOLDERS.items()]
    write_rows("foreign-late", found)
    counts = Counter(str(row["ended"]) for row in found)
    results = {"runs_failed_late": {"n": len(found), **counts}}
    return results, [goal("runs_failed_late", counts["late"], 0, "lower")]


def tried(name: str, make: Callable[[Path, list[str]], None], pieces: list[str]) -> dict[str, object]:
    """How the run of a folder ends, the share of its bytes read by then, and what it says."""
    with tempfile.TemporaryDirectory(prefix="greenhouse-bench-") as temporary:
        root = Path(temporary)
        folder = root / "input"
        out: dict[str, Any] = {part: root / part for part in ("out", "reports", "work")}
        for path in (folder, *out.values()):
            path.mkdir()
        (root / "opt_out.txt").touch()
        make(folder, pieces)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        said = ""
        with counted() as taken:
            try:
                own = inspect(str(folder), Ingest())
                licences = UNSTATED if "which is refused" in name else LicencePolicy()
                source = Files(name="mine", path=str(folder), text_field=own.text_field)
                ingest(root=root, params=Ingest(sources=[source], watch=str(folder), licences=licences), **out)
            except UserError as error:
                said = str(error).replace(temporary, "")
        share = taken["bytes"] / size
    ended = "finished" if not said else "late" if share >= TENTH else "refused"
    return {"ended": ended, "bytes": size, "share_read": round(share, 4), "said": said[:300]}


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Bytes that readers take of files while this is open."""
    taken = Counter[str]()

    def counting(method: Callable[..., bytes]) -> Callable[..., bytes]:
        def call(*arguments: Any) -> bytes:
            data = method(*arguments)
            taken["bytes"] += len(data)
            return data

        return call

    class Source:
        def __init__(self, source: pa.NativeFile) -> None:
            self.source, self.read, self.read_buffer = source, counting(source.read), counting(source.read_buffer)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.source, name)

    class Parquet(pq.ParquetFile):
        def __init__(self, source: Any, **options: Any) -> None:
            if isinstance(source, Path) and "input" in source.parts:
                source = pa.OSFile(str(source))
            is_input = isinstance(source, pa.NativeFile)
            super().__init__(pa.PythonFile(Source(source), "r") if is_input else source, **options)

    of_lines = patch.multiple(OpenFile, read=counting(OpenFile.read), readline=counting(OpenFile.readline))
    with of_lines, patch.object(tabular.pq, "ParquetFile", Parquet):
        yield taken

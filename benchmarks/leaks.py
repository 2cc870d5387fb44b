"""Secrets of the environment: `make bench NAME=leaks`. A small pipeline runs with canaries as credentials, then every
file it left is searched.

Searched are the clone with its state and MLflow, DVC and Prefect, HOME and the temporary folder: raw bytes, and what
gz, zst, zip and zlib (git's objects) unpack to, cells of Parquet and of SQLite, and base64 of each canary.
"""

import base64
import gzip
import re
import sqlite3
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import zstandard

from benchmarks.proof.clone import key_pair
from benchmarks.results import goal, write
from components.core.files import sha256_bytes
from tests.flows.pipeline_clone import make_clone

NAMES = (
    "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AZURE_STORAGE_KEY", "GITHUB_TOKEN", "HF_TOKEN", "OPENAI_API_KEY",
    "ANTHROPIC_API_KEY", "WANDB_API_KEY", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "PREFECT_API_KEY",
    "GIT_PASSWORD", "SLACK_WEBHOOK_URL", "DB_PASSWORD",
)  # fmt: skip
IN_ADDRESSES = {
    "DATABASE_URL": "postgresql://user:{}@localhost/db", "http_proxy": "http://user:{}@127.0.0.1:9",
    "HTTPS_PROXY": "http://user:{}@127.0.0.1:9", "PIP_INDEX_URL": "https://user:{}@localhost/simple",
}  # fmt: skip
"""Variables that hold a password within an address."""
LOCAL = {"NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}


def forms(value: str) -> list[bytes]:
    """A canary as it is, and the middle of its base64 at each alignment."""
    packed = [base64.b64encode(b"." * shift + value.encode()) for shift in range(3)]
    return [value.encode(), packed[0][:-4], *(one[4:-4] for one in packed[1:])]


def contents(path: Path) -> Iterator[bytes]:
    """The bytes of a file, and what they unpack to."""
    data = path.read_bytes()
    yield data
    with suppress(OSError, EOFError, zlib.error):
        yield gzip.decompress(data) if data[:2] == b"\x1f\x8b" else zlib.decompress(data)
    with suppress(zstandard.ZstdError):
        yield zstandard.ZstdDecompressor().decompress(data, max_output_size=1 << 30)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as file:
            yield from map(file.read, file.namelist())
    if data[:4] == b"PAR1":
        for column in pq.read_table(path).to_pydict().values():
            yield repr(column).encode("utf-8", "replace")
    if data[:15] == b"SQLite format 3":
        with closing(sqlite3.connect(path)) as database, suppress(sqlite3.Error):
            for line in database.iterdump():
                yield line.encode("utf-8", "replace")


def search(folder: Path, values: dict[str, str]) -> tuple[dict[str, list[str]], int]:
    """File -> variables whose canary it holds; and how many files were searched."""
    sought = {form: name for name, value in values.items() for form in forms(value)}
    pattern, found = re.compile(b"|".join(map(re.escape, sought))), dict[str, list[str]]()
    # Last names first: who opens a database may remove the log beside it, which is read before.
    files = [path for path in sorted(folder.rglob("*"), reverse=True) if path.is_file() and not path.is_symlink()]
    for path in files:
        if names := {sought[hit] for data in contents(path) for hit in pattern.findall(data)}:
            found[path.relative_to(folder).as_posix()] = sorted(names)
    return found, len(files)


def main() -> None:
    """Run what a user runs, search, write which files held a canary into chaos.json."""
    values = {name: f"Canary{sha256_bytes(name.encode())[:26]}" for name in (*NAMES, *IN_ADDRESSES)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clone, (key, _) = make_clone(folder), key_pair(folder)
        (folder / "tmp").mkdir()
        secrets: dict[str, Any] = {name: IN_ADDRESSES.get(name, "{}").format(value) for name, value in values.items()}
        secrets |= LOCAL | {"TMPDIR": str(folder / "tmp")}
        said = [clone.run("greenhouse", *words, **secrets) for words in (
            ("run",),
            ("cost", "--since", "2026-01-01"),
            ("export", "--to", "signed", "instruct", "--key", str(key), "--out", str(folder / "signed")),
            ("export", "--to", "hub", "instruct", "--out", str(folder / "exported")),
            ("run", "finetune.classify.steps=4"),
            ("card", "instruct"),
        )]  # fmt: skip
        (folder / "printed.txt").write_text("\n".join(said))
        (folder / "planted.gz").write_bytes(gzip.compress(values["HF_TOKEN"].encode()))
        found, searched = search(folder, values)
        assert found.pop("planted.gz") == ["HF_TOKEN"], "the search finds nothing"
    print(*(f"LEAK {file}: {', '.join(names)}" for file, names in found.items()), sep="\n", flush=True)
    says = f"files with one of {len(values)} canaries, of {searched}"
    results = {"canaries": len(values), "searched": searched, "files": found}
    write("chaos", {"leaks": results}, [goal("leaks_found", len(found), 0, "lower", says)])


if __name__ == "__main__":
    main()

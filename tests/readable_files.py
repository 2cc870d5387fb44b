"""Every kind of file that is read, whole, and what reads it: for tests that put other bytes in its place."""

import gzip
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import zstandard
from dvc.repo import Repo

from components import params as schema
from components.carbon.ledger import reader
from components.carbon.planning.forecast import checked
from components.corpus.corpus import read_corpus
from components.finetuning_data import formats
from components.model import export
from components.params import Ingest
from components.similarity.decontaminate import contamination_index
from components.stages.finetune import adapter
from components.stages.ingest import opt_out, readers
from components.stages.ingest.records import Options, Origin, entry_of
from components.studies.withdrawn import withdrawals
from components.tokens.hub_encoder import encoder_of
from components.tokens.shards import TokenShards
from components.tokens.tokenizer import train_bpe
from components.training import checkpoint
from flows.planning import inspect_text
from flows.system import dvc
from flows.tracking import signed_folder
from flows.tracking.attestation import owner_fields
from tests.components.stages.finetune.test_adapter import tuned, written
from tests.components.stages.ingest.hostile_files import PAGE, PROSE, parquet, record, warc
from tests.components.tokens.test_shards import write
from tests.flows.system.test_damage import LEDGER, corpus

ROOT = Path(__file__).resolve().parents[1]
Reader = Callable[[Path], object]
ROW = {"text": PROSE, "label": "a", "id": "1", "group": "g", "license": "MIT"}
PAIRS = record(sentence_good="She sees herself in the old mirror.", sentence_bad="She sees himself.") * 3
CHATS = record(messages=[{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "I."}]) * 2
TABLE = parquet(**{name: [value] * 3 for name, value in ROW.items()})
SOURCES = {
    "a.txt": PROSE.encode() * 20, "a.html": PAGE, "a.jsonl": record(**ROW) * 3,
    "a.json": json.dumps([ROW, ROW]).encode(), "a.csv": f'id,text\n1,"{PROSE}"\n2,{PROSE}\n'.encode(),
    "a.parquet": TABLE, "a.warc": warc("http://a.org/", PAGE) * 2,
    "b.jsonl.gz": gzip.compress(record(**ROW) * 3), "b.csv.zst": zstandard.compress(f"text\n{PROSE}\n".encode()),
}  # fmt: skip


def ingested(path: Path) -> None:
    """Read a file as ingest and the look before it do."""
    try:
        options = Options(min_bytes=40, max_chars=1000)
        for found in readers.records_of(path, readers.format_of(path.name), options):
            entry = entry_of(found, path.name, "", Origin("", ""), options)
            (entry.document.location + entry.document.group + entry.reason).encode()
    except readers.NotText:
        pass
    inspect_text._text_field(path, [path, path], Ingest(), inspect_text.ReadReport(Counter()))


def _of_source(name: str) -> Reader:
    return lambda folder: ingested(folder / name)


BASE = ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors", "greenhouse.json")
ADAPTER = ("adapter_config.json", "adapter_model.safetensors", "greenhouse.json")
READERS: dict[str, Reader] = {
    **{f"sources/{name}": _of_source(name) for name in SOURCES},
    **dict.fromkeys(("rows-jsonl/a.jsonl", "rows-csv/a.csv", "rows-parquet/a.parquet"), formats.read),
    "items/a.jsonl": lambda folder: contamination_index(None, folder, 13),
    "own/opt_out.txt": lambda folder: opt_out.load(folder / "opt_out.txt"),
    "own/owner.yaml": lambda folder: owner_fields(folder / "owner.yaml"),
    **dict.fromkeys(("own/params.yaml", "own/defaults.yaml"), lambda folder: schema.load(folder / "params.yaml")),
    "project/dvc.lock": lambda folder: (dvc.lock(folder), dvc.stale(folder)),
    "ledger/h.jsonl": lambda folder: (reader.read(folder), checked(reader.history(folder))),
    "corpus/manifest.json": lambda folder: list(read_corpus(folder)),
    "tokens/manifest.json": TokenShards.open,
    "run/step-000001/files.json": lambda folder: checkpoint.newest(folder.parent, str),
    **{f"base/{name}": lambda folder: (export.load(folder), encoder_of(folder)) for name in BASE},
    "shards/model.safetensors.index.json": export.weight_files,
    **dict.fromkeys((f"adapter/{name}" for name in ADAPTER), adapter.load),
    "signed/card.json": lambda folder: signed_folder.check(folder, None),
    "own/withdrawn.json": withdrawals,
}  # fmt: skip
"""File -> what reads it, given its folder."""


def readable(root: Path) -> Path:
    """Put all these files, whole, into a folder; returns it."""
    tokenizer = train_bpe([path.read_text() for path in (ROOT / "docs").glob("*.md")], 300).to_str()
    written(tuned(), root, tokenizer)
    (root / "project").mkdir()
    Repo.init(str(root / "project"), no_scm=True).close()
    (root / "project/dvc.yaml").write_text("stages: {one: {cmd: echo 1 > out, deps: [in], outs: [out]}}\n")
    (root / "project/in").touch()
    dvc.run("repro", root=root / "project")
    corpus(root / "corpus")
    write(root / "tokens")
    files = {f"sources/{name}": data for name, data in SOURCES.items()} | {
        "rows-jsonl/a.jsonl": CHATS, "rows-csv/a.csv": f"text,label\n{PROSE},a\n".encode(),
        "rows-parquet/a.parquet": TABLE, "items/a.jsonl": PAIRS,
        "own/opt_out.txt": b"# list\nsource: a\n" + record(passage=PROSE), "own/owner.yaml": b"provider: we\n",
        "ledger/h.jsonl": b"".join(record(**line) for line in LEDGER),
        "run/step-000001/files.json": b'{"files.json": "0"}', "signed/card.json": b'{"files": {}}',
        "own/withdrawn.json": b'{"a": {"date": "2026-12-01", "reason": "b"}}',
        "shards/model.safetensors.index.json": b'{"weight_map": {"a": "a.safetensors"}}', "shards/a.safetensors": b"",
    } | {f"own/{name}": (ROOT / name).read_bytes() for name in ("params.yaml", "defaults.yaml")}  # fmt: skip
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def other_bytes(path: Path, data: bytes, read: Reader) -> object:
    """What reads a file, with other bytes in it; it is put back."""
    whole = path.read_bytes()
    path.write_bytes(data)
    try:
        return read(path.parent)
    finally:
        path.write_bytes(whole)

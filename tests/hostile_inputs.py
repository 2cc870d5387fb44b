"""What strangers give besides text: each input is tried on what reads it, and ends in a result or one sentence.

The families: each kind of file of `readable_files` with other bytes in its place, and the values of below.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from components import params as schema
from components.core.errors import UserError
from components.finetuning_data import formats, split
from components.lineage.documents import query_of
from components.model import export
from components.params import Ingest
from components.stages.evaluate.tasks import harness
from components.stages.ingest.licences import Policy
from components.stages.ingest.sources import listings
from components.tokens.shards import TokenShards
from components.training import checkpoint
from flows.planning import inspect_text
from tests.components.stages.ingest.hostile_files import NOISE, PROSE, record, zip_file
from tests.readable_files import READERS, Reader, other_bytes

Call = Callable[[Path], object]
"""Takes the folder of `readable_files.readable`."""
ODD_BYTES = {
    "nothing": b"", "blank": b" \n\n", "NULs": b"\0" * 5000, "noise": NOISE, "not UTF-8": b"caf\xe9: 1\n",
    "depth": b"[" * 100_000, "a list": b"[1, 2]", "a number": b"5", "a text": b'"a"', "null": b"null",
    "digits": b'{"a": ' + b"9" * 6000 + b"}", "half a pair": b'{"\\udfff": "\\udfff"}', "a zip": zip_file(),
    "UTF-16": '{"a": 1}'.encode("utf-16"), "UTF-8 mark": b'\xef\xbb\xbf{"a": 1}',
}  # fmt: skip


def _other(name: str, data: bytes) -> Call:
    return lambda root: other_bytes(root / name, data, READERS[name])


FILES = {f"{name.partition('/')[0]}, {Path(name).name}": {
    label: _other(name, data) for label, data in ODD_BYTES.items()
} for name in READERS if not name.startswith("sources/")}  # fmt: skip
"""Kind of file -> variant -> what tries it."""

# -- params.yaml -------------------------------------------------------------------------------------------------------

LAUGHS = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
YAML = {
    "params.yaml, dates": ["dedup: {threshold: 2026-13-45}", "dedup: 2026-02-31", "x: 99:99:99"],
    "params.yaml, tags": ["a: !!python/object/apply:os.system [id]", "a: !!int x", "a: !!binary '*'", "!!set {a, a}"],
    "params.yaml, anchors": [LAUGHS, "dedup: &a {b: *a}", "a: *nothing", "<<: 5"],
    "params.yaml, keys": ["dedup: {1: 2}", "? [a]\n: 1", "dedup:\n  seed: 1\n  seed: 2", "null: 1", "dedup: {a.b: 1}"],
    "params.yaml, several documents": ["a: 1\n---\nb: 2"],
    "params.yaml, tabs": ["dedup:\n\tseed: 1"],
    "params.yaml, sections": ["dedup: 5", "dedup: [1]", "pretrain: {common: 3}", "pretrain: {causal: [1]}",
                              "ingest: {sources: 5}", "ingest: {sources: [5, null]}", "ingest: {source_defaults: 1}",
                              "ingest: {source_defaults: {files: 1}}", "ingest: {sources: [{kind: [1]}]}"],
    "params.yaml, numbers": ["dedup: {threshold: .nan}", "dedup: {threshold: .inf}", "dedup: {bands: 1e400}",
                             f"dedup: {{bands: {'9' * 5000}}}", "dedup: {bands: -1}", "dedup: {bands: 0x}",
                             "pretrain: {common: {steps: 1.5}}", "ingest: {max_chars: true}"],
    "params.yaml, texts": ["mix: {weights: {'\\0': 1}}", 'ingest: {heldout_salt: "\\ud800"}', "account: {title: [1]}",
                           "ingest: {opt_out: ''}", "evaluate: {tasks: [../..]}", "evaluate: {tasks: ['a@b']}"],
}  # fmt: skip
"""Family -> texts that are put over params.yaml, as a preset or a form may."""


def _overlay(root: Path, text: str) -> object:
    (root / "own/over.yaml").write_text(text)
    return schema.load(root / "own/params.yaml", root / "own/over.yaml").model_dump_json()


# -- sources, opt-out, rows, queries -----------------------------------------------------------------------------------

SOURCE: dict[str, list[dict[str, Any]]] = {
    "source, path": [{"path": path} for path in (
        "", "nowhere", "a\0b", "/etc/shadow", "~of-nobody/x", "x" * 5000, "s3://", "nothing://x", "file:///etc", "..")],
    "source, pattern": [{"pattern": pattern} for pattern in ("", "**x", "/abs/*", "[", "../*", "\0", "*" * 200, ".")],
    "source, name": [{"name": name} for name in ("", "../x", "a b", "<b>", "$(id)", "n" * 65, "\u202e")],
    "source, licence": [{"licence": name} for name in ("", "(", "MIT AND", "\0", "x" * 10**5, "GPL; DROP TABLE")],
    "source, day": [{"retrieved": day} for day in ("today", "2026-02-30", 20260101, None, "2026-1-1")],
    "source, text_field": [{"text_field": name} for name in ("", "\0", "a.b", "x" * 10**5)],
}  # fmt: skip
LINES = {
    "opt-out, kind": ["author: me", ": x", "id:", "id", "ID: 0123456789abcdef", "{}", '{"id": 5}', '{"a": 1, "b": 2}'],
    "opt-out, hash": ["id: xyz", "sha256: " + "0" * 63, "id: 0123456789ABCDEF", "id: \uff10" + "1" * 15],
    "opt-out, passage": ["passage: too few words", "passage: " + "a b c d e f " * 10**5, '{"passage": null}',
                         'passage: "\x1b[2J" \0 one two three four five six'],
    "opt-out, location": ["location: ../../x", "location: /", "location: " + "x/" * 10**5, "licence: (", "source: \0"],
}  # fmt: skip
TURN = {"role": "user", "content": "Who?"}
ANSWER = {"role": "assistant", "content": "I."}
ROWS: dict[str, list[Any]] = {
    "rows, roles": [{"messages": [TURN | {"role": role}, ANSWER]} for role in (
        "robot", None, 5, [], "\0", "x" * 10**5)],
    "rows, messages": [{"messages": value} for value in (
        None, 5, "", "[" * 10**5, "[{}]", [5], [[]], {}, [TURN] * 10**4)],
    "rows, answers": [{"messages": [TURN, ANSWER | {"content": text}]} for text in (
        "", " \n", None, 5, [], "x" * 10**6)],
    "rows, labels": [{"text": PROSE, "label": value} for value in (
        None, "", 1.5, [], {}, True, "x" * 10**5, "\x1b[2J\n")],
    "rows, preferences": [{"prompt": "a", "chosen": one, "rejected": other} for one, other in (
        ("b", "b"), ("", "b"), (None, "b"), (5, []), ([TURN], [TURN]), ([TURN, ANSWER], [ANSWER, ANSWER]))],
    "rows, columns": [{}, {"": 1}, {"text": "a"}, {"prompt": "a"}, {"chosen": 1}, {f"c{n}": 1 for n in range(5000)}],
}  # fmt: skip
QUERIES = {
    "query, nothing": ["", " ", "\n"],
    "query, patterns": [".*" * 9, "(a+)+$ " * 9, "%' OR 1=1 -- a b c d e"],
    "query, control characters": ["\0 a b c d e f", "\x1b[2J a b c d e f", "\udce9 a b c d e f"],
    "query, length": ["word " * 10**5, "x" * 10**6],
    "query, names": ["a" * 64, "0" * 16, "../../x", "@", "a@b.c"],
}
"""Of trace and forget."""
DATA = {
    "--data, path": [
        "",
        "nowhere",
        "/dev/null",
        "/dev/zero",
        "/proc/self/mem",
        "x" * 5000,
        "a\0b",
        "~of-nobody",
        "\udce9",
    ],
    "--data, hub": ["a/b", "a/b@main", "a/b@" + "0" * 39, "a//b@" + "0" * 40, "../b@" + "0" * 40, "https://x/y"],
}  # fmt: skip

TASKS = {
    "tasks, not YAML": ["\0", "a: [", "5", "- a", "", LAUGHS, "!function nothing.f"],
    "tasks, fields": ["task: x", "task: [1]\noutput_type: poetry", "include: nowhere.yaml", "group: a\ntask: [nothing]",
                      "task: x\ndataset_path: json\ndataset_kwargs: 5", "task: x\ndataset_path: ../..",
                      "task: x\noutput_type: multiple_choice\ndoc_to_text: !function nothing.f"],
}  # fmt: skip
"""Files that evaluate.tasks names."""


def _task(root: Path, text: str) -> object:
    (root / "task.yaml").write_text(text)
    return harness.load([str(root / "task.yaml")])


def _source(root: Path, fields: dict[str, Any]) -> object:
    (root / "texts").mkdir(exist_ok=True)
    (root / "texts/a.txt").write_text(PROSE)
    tree = {"sources": [{"kind": "files", "path": "texts"} | fields], "watch": "texts"}
    params = schema.parse({"ingest": tree}).ingest
    return Policy(params.licences), listings(params, root)


def _rows(root: Path, row: Any) -> object:
    folder = root / "tried"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    others = [{"messages": [{"role": "user", "content": f"{PROSE} {n}" * n}, ANSWER]} for n in range(40)]
    (folder / "a.jsonl").write_bytes(record(**row) * 2 + b"".join(record(**one) for one in others if "messages" in row))
    return split.split(formats.read(folder), None, 10**6, 1)


def _query(root: Path, text: str) -> object:
    def view(name: str) -> Path | None:
        return root / "corpus" / Path(name).name if name.startswith("data/ingest/train/") else None

    return query_of(text, view)


def _data(text: str) -> object:
    return inspect_text.inspect(text, Ingest())


def _opt_out(root: Path, line: str) -> object:
    return other_bytes(root / "own/opt_out.txt", line.encode("utf-8", "surrogatepass"), READERS["own/opt_out.txt"])


def _variants(call: Callable[[Path, Any], object], values: dict[str, list[Any]]) -> dict[str, dict[str, Call]]:
    """Family -> variant -> call with its value."""
    return {
        family: {f"{n}: {ascii(one)[:60]}": lambda root, one=one: call(root, one) for n, one in enumerate(some)}
        for family, some in values.items()
    }  # type: ignore[misc]


# -- binary files, folders of models -----------------------------------------------------------------------------------


def _flipped(name: str, read: Reader, place: int) -> Call:
    def tried(root: Path) -> object:
        data = bytearray((root / name).read_bytes())
        data[place * (len(data) - 1) // 7] ^= 0x10
        return other_bytes(root / name, bytes(data), read)

    return tried


def _base(root: Path, left: tuple[str, ...]) -> object:
    folder = root / "other"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name in left:
        if (root / "base" / name).exists():
            shutil.copy(root / "base" / name, folder)
        else:
            (folder / name).write_bytes(NOISE)
    return export.load(folder)


CONFIG = ("config.json", "tokenizer.json")
BASES: dict[str, list[Any]] = {
    "base, files missing": [(), CONFIG[:1], CONFIG, (*CONFIG[1:], "model.safetensors")],
    "base, pickles": [(*CONFIG, "pytorch_model.bin"), (*CONFIG, "model.pt")],
    "base, an adapter": [(*CONFIG, "adapter_config.json")],
}
FLIPS: dict[str, tuple[str, Reader]] = {
    "flipped bit, shard of a corpus": ("corpus/part-00001.parquet", READERS["corpus/manifest.json"]),
    "flipped bit, token file": ("tokens/tokens-00001.bin", TokenShards.open),
    "flipped bit, weights": ("base/model.safetensors", export.load),
    "flipped bit, checkpoint": ("run/step-000001/files.json", lambda folder: checkpoint.damage(folder)),
    "flipped bit, rows": ("rows-parquet/a.parquet", formats.read),
}
INPUTS: dict[str, dict[str, Call]] = {
    **FILES,
    **_variants(_overlay, YAML), **_variants(_source, SOURCE), **_variants(_opt_out, LINES), **_variants(_rows, ROWS),
    **_variants(_query, QUERIES), **_variants(_task, TASKS), **_variants(_base, BASES),
    **_variants(lambda _, text: _data(text), DATA),
    **{family: {f"{n}": _flipped(name, read, n) for n in range(8)} for family, (name, read) in FLIPS.items()},
}  # fmt: skip
"""Family -> variant -> what tries it."""


def outcome(call: Call, root: Path) -> str:
    """What an input ended in: a result, or the sentence for the user. Any other exception is the caller's."""
    try:
        call(root)
    except UserError as error:
        sentence = str(error)
        assert len(sentence.splitlines()) == 1, f"several lines: {sentence[:300]}"
        assert len(sentence) < 1500, f"{len(sentence)} characters: {sentence[:300]}"
        return sentence
    return "read"

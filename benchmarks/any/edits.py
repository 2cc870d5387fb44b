"""Edits made after recording, twenty of each trainer: of a data file, the configuration, weights, energy, a resume."""

import json
import shutil
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

from benchmarks.any.adopted import tried
from benchmarks.any.runs import Run
from benchmarks.proof.clone import Clone
from greenhouse_record.record import FIRST

Edit = Callable[[bytes], bytes | None]
"""The bytes of a file as edited; None: the file is removed."""
Lines = list[dict]


def found(clone: Clone, run: Run, model: Path) -> str:
    """What `greenhouse adopt` of a copy's model finds wrong, as a user of a clone would see it; empty if nothing."""
    shutil.rmtree(clone.root / "models/adopted", ignore_errors=True)
    status, lines = tried(clone, "adopt", str(model), "--name", "one")
    told = [line for line in lines if "not as it was recorded (" in line] or lines[-1:] * bool(status)
    return "; ".join(told).replace(str(clone.root), "CLONE")


OF_FILES: dict[str, Edit] = {
    "one bit": lambda data: data[: (at := len(data) // 2)] + bytes([data[at] ^ 1]) + data[at + 1 :],
    "a byte more": lambda data: data + b"\n",
    "a byte less": lambda data: data[:-1],
    "removed": lambda data: None,
}


def of_lines(change: Callable[[Lines], Lines], chained: bool) -> Edit:
    """An edit of a record's lines; with `chained` the hashes are computed again, and the head beside it is left."""

    def edit(data: bytes) -> bytes:
        previous, texts = FIRST, []
        for line in change([json.loads(text) for text in data.splitlines()]):
            line = line | {"previous": previous} if chained else line
            texts.append(json.dumps(line, separators=(",", ":"), ensure_ascii=False).encode() + b"\n")
            previous = sha256(texts[-1]).hexdigest()
        return b"".join(texts)

    return edit


def halved(node: object) -> object:
    """A JSON tree of energies with each number halved."""
    if isinstance(node, dict):
        return {name: halved(value) for name, value in node.items()}
    return [halved(value) for value in node] if isinstance(node, list) else int(str(node)) // 2


def less_energy(kind: str) -> Callable[[Lines], Lines]:
    """Half of the energy in the lines of a kind: `uj` of an end, and in `spans` of a reading."""

    def of_line(line: dict) -> dict:
        if line["kind"] != kind:
            return line
        if kind == "end":
            return line | {"uj": halved(line["uj"])}
        return line | {"spans": {id: part | {"uj": halved(part["uj"])} for id, part in line["spans"].items()}}

    return lambda lines: list(map(of_line, lines))


def without_try(number: int) -> Callable[[Lines], Lines]:
    """The lines of a try left out, its readings and machine too."""

    def change(lines: Lines) -> Lines:
        begins = [line["kind"] == "host" and after["kind"] == "start"
                  for line, after in zip(lines, [*lines[1:], {"kind": ""}], strict=True)]  # fmt: skip
        return [line for at, line in enumerate(lines) if sum(begins[: at + 1]) != number]

    return change


def twice(name: str, change: Callable[[Lines], Lines]) -> dict[str, Edit]:
    """An edit of the record as it is made, and with its chain made again."""
    return {name: of_lines(change, chained=False), f"{name}, chained again": of_lines(change, chained=True)}


OF_ENERGY = twice("readings halved", less_energy("reading")) | twice("totals halved", less_energy("end"))
OF_RESUMES = twice("the failed try removed", without_try(1)) | twice("the resume cut off", without_try(2))


def edits(run: Run) -> Iterator[tuple[str, str, str, Edit]]:
    """Kind, description, file (relative to the repository) and edit: twenty."""
    folder, trainer, record = run.folder, run.trainer, run.record.path
    data = min((folder / trainer.data).iterdir())
    weights = max((folder / trainer.out).glob(trainer.weights))
    groups = (("data file", data, OF_FILES), ("config", folder / trainer.config, OF_FILES),
              ("weights", weights, OF_FILES), ("energy", record, OF_ENERGY),
              ("resume removed", record, OF_RESUMES))  # fmt: skip
    for kind, path, changes_of in groups:
        for name, edit in changes_of.items():
            yield kind, name, str(path.relative_to(folder)), edit


def look_for(clone: Clone, run: Run, scratch: Path) -> list[dict[str, str]]:
    """A row for each edit of a copy of the run, and one for the copy before any was made."""
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(run.folder, scratch, symlinks=True)
    model = scratch / run.trainer.out
    rows = [{"kind": "none", "edit": "untouched", "file": "", "said": found(clone, run, model)}]
    for kind, name, file, edit in edits(run):
        whole = (scratch / file).read_bytes()
        if (data := edit(whole)) is None:
            (scratch / file).unlink()
        else:
            (scratch / file).write_bytes(data)
        rows.append({"kind": kind, "edit": name, "file": file, "said": found(clone, run, model)})
        (scratch / file).write_bytes(whole)
    shutil.rmtree(scratch)
    return [{"trainer": run.trainer.name} | row for row in rows]

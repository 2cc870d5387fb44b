"""Edits made after recording, twenty of each trainer: of a data file, the configuration, weights, energy, a resume."""

import json
import shutil
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

from benchmarks.any.runs import Run
from components.core.errors import UserError
from greenhouse_record.record import FIRST, changes, read

Edit = Callable[[Path], None]
"""Changes a file in place."""


def found(run: Run, folder: Path) -> str:
    """What a check of a copy of a recorded run says is wrong; empty if nothing."""
    (path,) = (folder / ".greenhouse/records").glob("*.jsonl")
    try:
        last = read(path).attempts[-1]
    except UserError as error:
        return str(error).replace(str(folder), ".")
    places = [folder / place for place in last.start["data_places"]]
    wrong = changes(last.start["data"], folder, *places) + changes(last.start["files"], folder)
    wrong += changes(last.outputs or {}, folder, folder / run.trainer.out)
    return ", ".join(wrong)


# -- of files ----------------------------------------------------------------------------------------------------------


def flipped(path: Path) -> None:
    """One bit in the middle."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def longer(path: Path) -> None:
    """A byte at the end."""
    path.write_bytes(path.read_bytes() + b"\n")


def shorter(path: Path) -> None:
    """A byte less at the end."""
    path.write_bytes(path.read_bytes()[:-1])


def gone(path: Path) -> None:
    """The file removed."""
    path.unlink()


OF_FILES = {"one bit": flipped, "a byte more": longer, "a byte less": shorter, "removed": gone}


# -- of the record -----------------------------------------------------------------------------------------------------


def of_lines(change: Callable[[list[dict]], list[dict]], chained: bool) -> Edit:
    """An edit of a record's lines; with `chained` the hashes are computed again, and the head beside it is left."""

    def edit(path: Path) -> None:
        previous, texts = FIRST, []
        for line in change([json.loads(text) for text in path.read_bytes().splitlines()]):
            line = line | {"previous": previous} if chained else line
            texts.append(json.dumps(line, separators=(",", ":"), ensure_ascii=False).encode() + b"\n")
            previous = sha256(texts[-1]).hexdigest()
        path.write_bytes(b"".join(texts))

    return edit


def less_energy(kind: str) -> Callable[[list[dict]], list[dict]]:
    """Half of the energy in the lines of a kind."""

    def change(lines: list[dict]) -> list[dict]:
        for line in lines:
            if line["kind"] == kind == "end":
                line["uj"] = [uj // 2 for uj in line["uj"]]
            elif line["kind"] == kind:
                for part in line["spans"].values():
                    part["uj"] = {name: [uj // 2 for uj in bounds] for name, bounds in part["uj"].items()}
        return lines

    return change


def without_try(number: int) -> Callable[[list[dict]], list[dict]]:
    """The lines of a try left out, its readings and machine too."""

    def change(lines: list[dict]) -> list[dict]:
        kept, current = [], 0
        for position, line in enumerate(lines):
            begins = line["kind"] == "host" and lines[position + 1]["kind"] == "start"
            current += begins
            if current != number:
                kept.append(line)
        return kept

    return change


OF_ENERGY = {
    "readings halved": of_lines(less_energy("reading"), chained=False),
    "readings halved, chained again": of_lines(less_energy("reading"), chained=True),
    "totals halved": of_lines(less_energy("end"), chained=False),
    "totals halved, chained again": of_lines(less_energy("end"), chained=True),
}
OF_RESUMES = {
    "the failed try removed": of_lines(without_try(1), chained=False),
    "the failed try removed, chained again": of_lines(without_try(1), chained=True),
    "the resume cut off": of_lines(without_try(2), chained=False),
    "the resume cut off, chained again": of_lines(without_try(2), chained=True),
}


def edits(run: Run) -> Iterator[tuple[str, str, str, Edit]]:
    """Kind, description, file (relative to the repository) and edit: twenty."""
    folder, trainer = run.folder, run.trainer
    data = min((folder / trainer.data).iterdir())
    weights = max((folder / trainer.out).glob(trainer.weights))
    record, config = run.record.path, folder / trainer.config
    groups = (("data file", data, OF_FILES), ("config", config, OF_FILES), ("weights", weights, OF_FILES),
              ("energy", record, OF_ENERGY), ("resume removed", record, OF_RESUMES))  # fmt: skip
    for kind, path, changes_of in groups:
        for name, edit in changes_of.items():
            yield kind, name, str(path.relative_to(folder)), edit


def look_for(run: Run, scratch: Path) -> list[dict[str, str]]:
    """A row for each edit, each on a copy of the run, and one for the copy that nothing was done to."""
    rows = []
    for kind, name, file, edit in [("none", "untouched", "", lambda _: None), *edits(run)]:
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.copytree(run.folder, scratch, symlinks=True)
        edit(scratch / file)
        said = found(run, scratch)
        rows.append({"trainer": run.trainer.name, "kind": kind, "edit": name, "file": file, "said": said})
    shutil.rmtree(scratch, ignore_errors=True)
    return rows

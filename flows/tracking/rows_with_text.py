"""A text in what the corpora do not have: rows of one's own for fine-tuning, and evaluation items.

Rows are those that params.yaml names and those that models were tuned on, as dvc.lock of each known state names them,
wherever such a file is still what it was. These are the owner's files: they are named, and nobody else changes them.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from components import params as schema
from components.core.errors import UserError
from components.core.files import md5_of
from components.finetuning_data.formats import texts
from components.lineage.documents import Query, predicate
from components.lineage.quotes import Quotes
from components.stages.finetune.own_rows import is_corpus
from flows.system import paths
from flows.tracking.snapshots import Snapshot

SHOWN = 5


@dataclass(frozen=True)
class FileWithText:
    """A file or folder that holds a text, or may hold it.

    Attributes:
        key: what names it. places: where in it the text is; of an `unread` one, why it could not be searched.
        md5: DVC's hash of rows that were searched, by which a stage says what it was tuned on.
    """

    key: str
    path: str
    places: list[str]
    md5: str = ""
    unread: bool = False

    def line(self) -> str:
        """For a person."""
        return f"{self.key} = {self.path}: {_some(self.places)}"


def files_with(query: Query, quotes: Quotes, states: Iterable[Snapshot] = ()) -> list[FileWithText]:
    """Rows and evaluation items that hold the passage or address, or quote a document; and rows that cannot be read.

    Args:
        states: those whose models were tuned on rows, besides what params.yaml of the workspace names.
    """
    params, found = schema.load(paths.ROOT / "params.yaml"), list[FileWithText]()
    named = predicate(query.kind, query.value) if query.kind in ("passage", "email") else lambda text: False

    def searched(key: str, path: str, rows: Iterator[tuple[str, str]], md5: str = "") -> FileWithText:
        try:
            places = [where for where, text in rows if named(text) or quotes.within(text.encode())]
            return FileWithText(key, path, places, md5)
        except UserError as error:
            return FileWithText(key, path, [f"not searched: {error}"], unread=True)

    hashed = cache(md5_of)
    known = set[tuple[Path, str]]()
    for branch, one in params.finetune.stages().items():
        path = paths.ROOT / one.data
        if path.exists() and not is_corpus(path):
            known.add((_place(one.data), hashed(path)))
            found.append(searched(f"finetune.{branch}.data", one.data, texts(path), hashed(path)))
    found += _of_states(states, known, hashed, searched)
    items = params.filter.decontaminate.items
    files = sorted(path for path in (paths.ROOT / items).rglob("*") if path.is_file())
    whole = ((str(path.relative_to(paths.ROOT / items)), path.read_text("utf-8", "replace")) for path in files)
    found.append(searched("filter.decontaminate.items", items, whole))
    return [one for one in found if one.places]


def _of_states(
    states: Iterable[Snapshot], known: set[tuple[Path, str]], hashed: Callable[[Path], str],
    searched: Callable[..., FileWithText],
) -> Iterator[FileWithText]:  # fmt: skip
    """Rows that models of states were tuned on, but those already known; one line for each file that is gone."""
    tuned, gone = dict[tuple[str, str], list[str]](), dict[str, list[str]]()
    for state in states:
        for stage, path, md5 in rows_of_state(state):
            if (_place(path), md5) not in known:
                tuned.setdefault((path, md5), []).append(f"{stage} of {state.name}")
    for (path, md5), names in tuned.items():
        file = paths.ROOT / path
        if file.exists() and hashed(file) == md5:
            yield searched(f"rows of {_some(names)}", path, texts(file), md5)
        else:
            gone.setdefault(path, []).extend(names)
    for path, names in gone.items():
        why = "not searched: it is gone, or not what it was when they were tuned on it"
        yield FileWithText(f"rows of {_some(names)}", path, [why], unread=True)


def _some(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def rows_of_state(state: Snapshot) -> Iterator[tuple[str, str, str]]:
    """Stage, path and hash of the rows that each fine-tuning of a state read; none for those that read a corpus."""
    for stage, entry in state.lock.items():
        if not stage.startswith("finetune@"):
            continue
        own = replace(state, lock={stage: entry}).params().get("finetune", {}).get(stage.partition("@")[2], {})
        for dep in entry.get("deps", []):
            if "data" in own and _place(dep["path"]) == _place(own["data"]) and not dep["path"].startswith("data/"):
                yield stage, dep["path"], dep["md5"]


def _place(path: str) -> Path:
    """Where a file lies, whichever way its path is written."""
    return Path(os.path.normpath(paths.ROOT / path))

"""A text in what the corpora do not have: rows of one's own for fine-tuning, and evaluation items.

These are the owner's files: they are named, and nobody else changes them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from components import params as schema
from components.core.errors import UserError
from components.finetuning_data.formats import texts
from components.lineage.documents import Query, predicate
from components.lineage.quotes import Quotes
from components.stages.finetune.own_rows import is_corpus
from flows.system import paths

SHOWN = 5


@dataclass(frozen=True)
class FileWithText:
    """A file or folder that holds a text: the key that names it, and where in it."""

    key: str
    path: str
    places: list[str]

    def line(self) -> str:
        """For a person."""
        more = f" and {len(self.places) - SHOWN} more" if len(self.places) > SHOWN else ""
        return f"{self.key} = {self.path}: {', '.join(self.places[:SHOWN])}{more}"


def files_with(query: Query, quotes: Quotes) -> list[FileWithText]:
    """Rows and evaluation items of the workspace that hold the passage or address, or quote a document."""
    params, found = schema.load(paths.ROOT / "params.yaml"), []
    named = predicate(query.kind, query.value) if query.kind in ("passage", "email") else lambda text: False

    def places(rows: Iterator[tuple[str, str]]) -> list[str]:
        try:
            return [where for where, text in rows if named(text) or quotes.within(text.encode())]
        except UserError as error:
            return [f"not searched: {error}"]

    for branch, one in params.finetune.stages().items():
        path = paths.ROOT / one.data
        if path.exists() and not is_corpus(path):
            found.append(FileWithText(f"finetune.{branch}.data", one.data, places(texts(path))))
    items = params.filter.decontaminate.items
    files = sorted(path for path in (paths.ROOT / items).rglob("*") if path.is_file())
    whole = ((str(path.relative_to(paths.ROOT / items)), path.read_text("utf-8", "replace")) for path in files)
    found.append(FileWithText("filter.decontaminate.items", items, places(whole)))
    return [one for one in found if one.places]

"""What the filter would do to a user's own text, by a sample, before anything runs.

Attended runs stop where a source would lose much, until a person confirms. Others go on, and the report of the filter
begins with it.
"""

from pathlib import Path

from components.core.errors import UserError
from components.core.plain_text import plain
from components.corpus.corpus import Document
from components.params import Files, Params
from components.stages.filter.losses import Losses
from components.stages.filter.preview import preview
from components.stages.ingest.file_reading import first_documents
from components.stages.ingest.remote_files import is_remote
from components.stages.ingest.sources import listings
from flows.system import dvc, paths

FILES = 400
"""Files of a source that are looked at, evenly spread."""
BYTES = 2_000_000
"""Text of a source that is looked at: some three seconds of the filter."""
ON = ("ingest", "dedup", "filter")
"""Stages of which one must run for the filter to."""


def sample(params: Params, root: Path) -> list[Document]:
    """Documents of the sources that are files of this machine."""
    local = [one for one in params.ingest.sources if isinstance(one, Files) and not is_remote(one.path)]
    found = list[Document]()
    for listing in listings(params.ingest.model_copy(update={"sources": local}), root):
        tasks = listing.tasks[:: max(1, len(listing.tasks) // FILES)]
        for task in tasks:
            found += first_documents(task, BYTES // len(tasks))
    return found


def losses(params: Params, root: Path = paths.ROOT) -> list[Losses]:
    """What each source of files would lose, those that lose nothing left out."""
    documents = sample(params, root)
    items = root / params.filter.decontaminate.items
    return preview(documents, params.filter, items, paths.WORK / "filter" / "preview") if documents else []


def show(found: list[Losses]) -> None:
    """Print what each source would lose, with examples."""
    for one in found:
        print(plain(f"filter, by a sample of {one.documents} documents: {one.told('would go')}"), flush=True)


def confirm(params: Params, own: Params, confirmed: bool) -> None:
    """Show what would go, if the filter is to run.

    Args:
        own: the parameters of params.yaml.

    Raises:
        UserError: a source would lose much, and nobody has confirmed that.
    """
    changed = params.ingest != own.ingest or params.filter != own.filter
    if not changed and not set(ON) & set(dvc.stale()):
        return
    found = losses(params)
    show(found)
    if (much := [one for one in found if one.much]) and not confirmed:
        names = "; ".join(f"{one.source} by {', '.join(one.much)}" for one in much)
        raise UserError(
            f"the filter would take much of {names}, see the examples above: change filter.limits or filter.per_source "
            "in params.yaml, or start again with --yes"
        )

"""Preview of the filter on a user's own text, by a sample, before anything runs.

Attended runs stop where a source would lose much, until a person confirms. Others go on, and the
report of the filter begins with it.
"""

import codecs
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.core.errors import UserError
from components.core.files import sha256_bytes
from components.core.plain_text import plain, plain_name
from components.corpus.corpus import CorpusWriter, Document, read_manifest, read_shard, shard_paths
from components.params import Files, Filter, Params
from components.reporting.tables import quoted
from components.stages.filter.losses import EXAMPLES, Losses
from components.stages.filter.stage import filter_corpus
from components.stages.ingest.file_reading import FileTask, sampled_entries
from components.stages.ingest.readers import NotText
from components.stages.ingest.records import TARGET_BYTES, Skipped
from components.stages.ingest.remote_files import is_remote
from components.stages.ingest.sources import OWN_RECORDS, Listing, listings
from components.text.opening import OpenFile
from flows.system import dvc, paths

FILES = 400
"""Places of a source that are looked at, evenly spread over its documents."""
RECORD = 2000
"""Bytes of a record in files of many, roughly; of other files TARGET_BYTES are a document."""
BYTES = 2_000_000
"""Text of a source that is looked at: some three seconds of the filter."""
HELD_OUT, FEWEST = 16, 32
"""Of a sample, one document in so many is held out, if there are `FEWEST`."""
MOST_BEGINNINGS, BEGINNING = 20_000, 1 << 16
"""Files of a source whose beginning is looked at for its encoding, and its bytes."""
NOT_UTF8 = "text that is not UTF-8: `iconv -f ENCODING -t utf-8` converts a file"
REASONS = 20
"""Reasons shown for which files are not read."""
ON = ("ingest", "dedup", "filter")
"""Stages of which one must run for the filter to."""


def local_files(params: Params, root: Path) -> list[Listing]:
    """The files of the sources that are of this machine."""
    local = [one for one in params.ingest.sources if isinstance(one, Files) and not is_remote(one.path)]
    return listings(params.ingest.model_copy(update={"sources": local}), root)


def left_out(listing: Listing) -> str:
    """Files of a source that will not be read, by reason, with a few names; "" if none."""
    by_reason: dict[str, list[str]] = {}
    for one in listing.skipped:
        by_reason.setdefault(one.reason, []).append(one.file)
    lines = [f"{listing.name}: files that will not be read: {len(listing.skipped)}"]
    for reason, names in sorted(by_reason.items(), key=lambda one: -len(one[1]))[:REASONS]:
        more = ", ..." if len(names) > EXAMPLES else ""
        lines.append(f"  {len(names)} x {reason}: {', '.join(names[:EXAMPLES])}{more}")
    if len(by_reason) > REASONS:
        lines.append(f"  {len(by_reason) - REASONS} more reasons")
    return "\n".join(lines) if by_reason else ""


def list_other_encodings(local: list[Listing]) -> None:
    """List the files of text whose beginning is not UTF-8 as not read: ingest quarantines what it cannot decode."""
    for listing in local:
        for task in listing.tasks[:: max(1, len(listing.tasks) // MOST_BEGINNINGS)]:
            if task.reader == "text" and not _begins_as_utf8(Path(task.path)):
                listing.skipped.append(Skipped(plain_name(task.location), NOT_UTF8, task.size))


def _begins_as_utf8(path: Path) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(OpenFile(path).read(BEGINNING))
    except UnicodeDecodeError:
        return False
    except (OSError, pa.ArrowException):  # damaged: ingest says so
        return True
    return True


def sample(local: list[Listing]) -> tuple[list[Document], list[Losses]]:
    """Some documents of the files, and what ingest would not keep; files that hold no text are listed as skipped."""
    documents, by_source = list[Document](), list[Losses]()
    for listing in local:
        by_source.append(losses := Losses(listing.name, 0))
        for task, places in _spread(listing.tasks):
            try:
                for entry in sampled_entries(task, places * BYTES // min(FILES, len(listing.tasks))):
                    losses.documents += 1
                    if entry.rule:
                        losses.add(entry.rule, f"{entry.rule}: {entry.document.location}: {entry.reason}")
                    else:
                        documents.append(entry.document)
            except NotText as reason:
                listing.skipped.append(Skipped(plain_name(task.location), plain_name(str(reason)), task.size))
    return documents, [losses for losses in by_source if losses.rules]


def _spread(tasks: Sequence[FileTask]) -> list[tuple[FileTask, int]]:
    """Files to look at, and at how many places each: as many as it has of all documents, by size and kind."""
    documents = [max(1.0, task.size / (RECORD if task.reader in OWN_RECORDS else TARGET_BYTES)) for task in tasks]
    count = min(FILES, len(tasks))
    places = (np.arange(count) + 0.5) * sum(documents) / max(1, count)
    return [(tasks[index], number) for index, number in Counter(np.searchsorted(np.cumsum(documents), places)).items()]


def preview(documents: Sequence[Document], params: Filter, items: Path, work: Path) -> list[Losses]:
    """Losses of the sources, by a sample of their documents: the filter itself runs on it.

    Args:
        items: folder of evaluation sets.
        work: folder for what that writes; nothing stays.
    """
    in_order = sorted(documents, key=lambda one: sha256_bytes(one.group.encode()))
    held = in_order[::HELD_OUT] if len(documents) >= FEWEST else []
    train = [one for one in documents if one not in held]
    by_source = {source: Losses(source, count) for source, count in Counter(one.source for one in train).items()}
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=work) as folder:
        folders: dict[str, Any] = {name: Path(folder) / name for name in ("out", "reports", "work")}
        folders["work"].mkdir()
        for name, some in (("train", train), ("heldout", held)):
            with CorpusWriter(Path(folder) / name) as writer:
                for one in some:
                    writer.add(one)
        try:
            filter_corpus(
                train=Path(folder) / "train", heldout=Path(folder) / "heldout", items=items, params=params, **folders
            )
        except UserError:
            if not (folders["out"] / "dropped" / "manifest.json").exists():  # else all of the sample would go
                raise
        for path in shard_paths(folders["out"] / "dropped"):
            for row in pq.read_table(path, columns=["source", "rule", "location", "text"]).to_pylist():
                example = f"{row['rule']}: {row['location']}: {quoted(row['text'])}"
                by_source[row["source"]].add(row["rule"], example)
    return [losses for losses in by_source.values() if losses.rules]


def show(params: Params, root: Path = paths.ROOT) -> list[Losses]:
    """Print which files will not be read, and what each source of files would lose, with examples;
    returns the latter, sources that lose nothing left out."""
    local = local_files(params, root)
    documents, unkept = sample(local)
    list_other_encodings(local)
    for line in filter(None, map(left_out, local)):
        print(plain(line), flush=True)
    for one in unkept:
        print(losses_line("ingest", one), flush=True)
    items = root / params.filter.decontaminate.items
    losses = preview(documents, params.filter, items, paths.WORK / "filter" / "preview") if documents else []
    for one in losses:
        print(losses_line("filter", one), flush=True)
    return losses


def losses_line(stage: str, losses: Losses) -> str:
    """Text of the losses of a source in a stage, with examples."""
    return plain(f"{stage}, by a sample of {losses.documents} documents: {losses.summary('would go')}")


def of_corpus(train: Path, params: Params) -> str:
    """Losses of each source of a corpus, as text. Raises `UserError`: there is no corpus."""
    if not (train / "manifest.json").exists():
        raise UserError(f"{train}: there is no corpus; run the stage that makes it first (dvc repro dedup)")
    every = max(1, read_manifest(train).num_bytes // BYTES)
    documents = [one for path in shard_paths(train) for one in read_shard(path)[::every]]
    items = paths.ROOT / params.filter.decontaminate.items
    losses = preview(documents, params.filter, items, paths.WORK / "filter" / "dry-run")
    return (
        "\n".join(losses_line("filter", one) for one in losses)
        or f"filter, by a sample of {len(documents)} documents: nothing would go"
    )


def confirm(params: Params, configured: Params, confirmed: bool) -> None:
    """Show what would go, if the filter is to run.

    Args:
        configured: the parameters of params.yaml.

    Raises `UserError`: a source would lose much, and nobody has confirmed that.
    """
    changed = params.ingest != configured.ingest or params.filter != configured.filter
    if not changed and not set(ON) & set(dvc.stale()):
        return
    losses = show(params)
    if (much := [one for one in losses if one.much]) and not confirmed:
        names = "; ".join(f"{one.source} by {', '.join(one.much)}" for one in much)
        raise UserError(
            f"the filter would take much of {names}, see the examples above: change filter.limits or filter.per_source "
            "in params.yaml, or start again with --yes"
        )

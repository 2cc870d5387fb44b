"""Reader of a data set of the Hugging Face hub, streamed at a pinned revision through `datasets`."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.core.errors import UserError, clause
from components.stages.ingest.records import BadRecord, RawRecord, record_of

ANSWER_S = 5.0
"""Seconds in which a hub must answer whether it has a data set; later it is not checked."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """A split of a data set: hub id or absolute folder, configuration ("" for the default), split, commit, column."""

    path: str
    config: str
    split: str
    revision: str
    text_field: str
    local: bool

    @property
    def name(self) -> str:
        """Name of the data set in messages."""
        return "the local folder" if self.local else f"{self.path}@{self.revision[:8]}"


def raise_if_missing(dataset: Dataset) -> None:
    """Refuse what the hub says it does not have. Where none answers (offline, no network) it is not checked.

    Raises:
        UserError: no such data set or commit there, and no copy in the cache of `datasets`.
    """
    if dataset.local:
        return
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    try:
        HfApi().dataset_info(dataset.path, revision=dataset.revision, timeout=ANSWER_S)
    except (RepositoryNotFoundError, RevisionNotFoundError):
        from datasets import config  # seconds of import, needed only here

        if not Path(config.HF_DATASETS_CACHE, dataset.path.replace("/", "___")).exists():
            raise UserError(
                f"data set {dataset.name}: the hub has none of this name and commit, or this user may not see it; "
                "correct them, or log in with `hf auth login`"
            ) from None
    except Exception:  # whatever the network raises: ingest says it if it comes to that
        return


def records(dataset: Dataset) -> Iterator[RawRecord | BadRecord]:
    """The rows of a split, streamed: nothing is downloaded whole. No code from the hub is run.

    Raises:
        UserError: it cannot be reached or read.
    """
    rows = iter(_stream(dataset))
    number = 0
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except Exception as error:  # datasets raises whatever its reader, fsspec or the network raises
            raise _explained(error, dataset, number) from None
        number += 1
        yield record_of(row, dataset.text_field, str(number), f"row {number}: ", number)


def _stream(dataset: Dataset) -> Any:
    from datasets import load_dataset  # seconds of import, needed only here

    try:
        options = {} if dataset.local else {"revision": dataset.revision}
        return load_dataset(dataset.path, dataset.config or None, split=dataset.split, streaming=True, **options)
    except Exception as error:
        raise _explained(error, dataset, 0) from None


def _explained(error: Exception, dataset: Dataset, rows_read: int) -> UserError:
    text = clause(error, 300)
    advice = "check config, split and the files' format"
    if not dataset.local:
        advice = "check the name and that the hub can be reached (HF_HUB_OFFLINE unset, network), or use local files"
    return UserError(f"data set {dataset.name}, split {dataset.split}, after {rows_read} rows: {text}; {advice}")

"""What the filter would do to sources, by a sample of their documents: it runs on the sample, and nothing stays."""

import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq

from components.core.files import sha256_bytes
from components.corpus.corpus import CorpusWriter, Document, shard_paths
from components.params import Filter
from components.reporting.tables import quoted
from components.stages.filter.losses import Losses
from components.stages.filter.stage import filter_corpus

HELD_OUT, FEWEST, EXAMPLES = 16, 32, 3
"""Of a sample, one document in so many is held out, if there are `FEWEST`; examples shown of a source."""


def preview(documents: Sequence[Document], params: Filter, items: Path, work: Path) -> list[Losses]:
    """What the sources would lose, by a sample of their documents: the filter itself runs on it.

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
        places = {name: Path(folder) / name for name in ("out", "reports", "work")}
        places["work"].mkdir()
        for name, some in (("train", train), ("heldout", held)):
            with CorpusWriter(Path(folder) / name) as writer:
                for one in some:
                    writer.add(one)
        filter_corpus(
            train=Path(folder) / "train", heldout=Path(folder) / "heldout", items=items, params=params, **places
        )
        for path in shard_paths(places["out"] / "dropped"):
            for row in pq.read_table(path, columns=["source", "rule", "location", "text"]).to_pylist():
                losses = by_source[row["source"]]
                losses.rules[row["rule"]] += 1
                if len(losses.examples) < EXAMPLES:
                    losses.examples.append(f"{row['rule']}: {row['location']}: {quoted(row['text'])}")
    return [losses for losses in by_source.values() if losses.rules]

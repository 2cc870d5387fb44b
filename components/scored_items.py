"""The table of scored items, `details/items.parquet`: what two models are compared on.

Columns:
    question, condition, metric   the task, under which condition (source, number of examples), in which unit
    item, cluster, stratum        stable id, the items that rise and fall with it (of a work, an occupation), its source
    score, weight                 the metric is sum(score) / sum(weight)
    direction                     higher, lower, zero or half (closer to it): what is better
    baseline                      score of the best trivial rule on this item; null where a metric has none
    model                         whose score it is, by its folder below models/
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from components.core.files import written_whole

COLUMNS = (
    "question", "condition", "metric", "item", "cluster", "score", "weight", "direction", "stratum", "baseline",
    "model",
)  # fmt: skip
SCHEMA = pa.schema(
    [(name, pa.float64() if name in ("score", "weight", "baseline") else pa.string()) for name in COLUMNS]
)


def write_items(rows: Iterable[Mapping[str, Any]], path: Path) -> None:
    """Write rows in the columns above."""
    with written_whole(path) as temporary:
        pq.write_table(pa.Table.from_pylist(list(rows), schema=SCHEMA), temporary, compression="zstd")

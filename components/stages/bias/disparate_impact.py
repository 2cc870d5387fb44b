"""Disparate impact: keep rates of documents that mention a group against comparable ones, and a limit on the ratio.

Comparable are documents of the same source and like length (stratified_rates.py). Small counts scatter, so the limit is
held against the interval, widened for the number of comparisons (Bonferroni): the stage stops where even its upper end
is below `bias.min_keep_ratio`, that is, where chance does not explain it, and only warns where the ratio itself is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from components.core.errors import UserError
from components.params import Bias
from components.stages.bias.counts import BiasCounts
from components.stages.bias.stratified_rates import Rate, Ratio, Table, rate, stratified_ratio
from components.statistics import holm
from components.text.identity_terms import GROUPS

CONFIDENCE = 0.95
LENGTHS = 6
"""Classes of length, in powers of four sentences."""


@dataclass(frozen=True)
class Impact:
    """Keep rate of the documents that mention a group, and its ratio to that of comparable documents.

    `source` is "" where all sources are pooled; `strata` has the counts behind the ratio.
    """

    group: str
    source: str
    documents: int
    kept: Rate
    ratio: Ratio
    p_corrected: float
    ratio_unmasked: Ratio
    dropped_unmasked: int
    strata: Table

    def upper_bound(self, comparisons: int) -> float:
        """Upper end of the ratio's interval, widened (Bonferroni) so that all of `comparisons` hold at once."""
        return stratified_ratio(self.strata, 1 - (1 - CONFIDENCE) / max(1, comparisons)).high


def impacts(counts: BiasCounts, params: Bias) -> list[Impact]:
    """Disparate impact per group with at least `min_mentions` documents; p corrected for their number."""
    columns = Columns(counts)
    return _rows(columns, [("", np.ones(len(columns.dropped), dtype=bool))], params)


def impacts_by_source(counts: BiasCounts, params: Bias) -> list[Impact]:
    """Disparate impact per source and group; p corrected for all of these."""
    columns = Columns(counts)
    return _rows(columns, [(name, columns.source == index) for index, name in enumerate(columns.names)], params)


def _rows(columns: "Columns", sources: Sequence[tuple[str, np.ndarray]], params: Bias) -> list[Impact]:
    compared = []
    for source, here in sources:
        for bit, group in enumerate(GROUPS):
            members = here & (columns.groups >> bit & 1 == 1)
            if members.sum() >= params.min_mentions:
                compared.append((group, source, members, here & ~members))
    tables = [columns.table(members, others, columns.dropped) for _, _, members, others in compared]
    ratios = [stratified_ratio(table, CONFIDENCE) for table in tables]
    corrected = holm([ratio.p for ratio in ratios])
    return [
        Impact(
            group,
            source,
            documents=int(members.sum()),
            kept=rate(int((members & ~columns.dropped).sum()), int(members.sum())),
            ratio=ratio,
            p_corrected=p,
            ratio_unmasked=stratified_ratio(columns.table(members, others, columns.dropped_raw)),
            dropped_unmasked=int((members & columns.dropped_raw).sum()),
            strata=table,
        )
        for (group, source, members, others), table, ratio, p in zip(compared, tables, ratios, corrected, strict=True)
    ]


class Columns:
    """Arrays of one entry per document; `stratum` numbers its source and class of length."""

    def __init__(self, counts: BiasCounts) -> None:
        documents = counts.documents
        self.groups = np.array([judged.groups for judged in documents], dtype=np.int64)
        self.dropped = np.array(counts.dropped, dtype=bool)
        self.dropped_raw = np.array(counts.dropped_raw, dtype=bool)
        self.names = sorted({judged.source for judged in documents})
        number = {name: index for index, name in enumerate(self.names)}
        self.source = np.array([number[judged.source] for judged in documents], dtype=np.int64)
        length = np.log2(np.array([judged.scored for judged in documents], dtype=np.int64) + 1).astype(np.int64) // 2
        self.stratum = self.source * LENGTHS + np.minimum(LENGTHS - 1, length)

    def table(self, members: np.ndarray, others: np.ndarray, dropped: np.ndarray) -> list[tuple[int, int, int, int]]:
        """Per stratum: kept and all of the members, kept and all of the others."""
        size = int(self.stratum.max(initial=-1)) + 1
        chosen = (members & ~dropped, members, others & ~dropped, others)
        columns = [np.bincount(self.stratum[some], minlength=size) for some in chosen]
        return [tuple(map(int, row)) for row in np.stack(columns, axis=1) if row[1] and row[3]]  # type: ignore[misc]


# -- the limit ---------------------------------------------------------------------------------------------------------


def low_ratios(rows: Sequence[Impact], params: Bias) -> list[str]:
    """A warning for each ratio below the limit, chance or not."""
    return [
        f"bias: documents that mention {row.group} are kept {row.ratio.value:.2f} times as often as comparable ones, "
        f"below bias.min_keep_ratio = {params.min_keep_ratio}; see details/disparate_impact.csv"
        for row in rows
        if row.ratio.value < params.min_keep_ratio
    ]


def check_ratios(rows: Sequence[Impact], params: Bias, reports: Path) -> None:
    """Stop if a group is kept too seldom beyond chance, in a source or in all of them.

    Raises:
        UserError: a ratio's widened interval lies below `params.min_keep_ratio`; the lowest is named.
    """
    below = [(row, row.upper_bound(len(rows))) for row in rows]
    below = [(row, most) for row, most in below if most < params.min_keep_ratio]
    if not below:
        return
    row, most = min(below, key=lambda pair: (pair[0].ratio.value, pair[0].group, not pair[0].source))
    where = f"in source {row.source}" if row.source else "over all sources"
    more = f" ({len(below)} such comparisons)" if len(below) > 1 else ""
    cure = "" if params.mask_identity else "set bias.mask_identity to true, "
    raise UserError(
        f"bias: the filter keeps documents that mention {row.group} {where} {row.ratio.value:.2f} times as often as "
        f"comparable ones (at most {most:.2f}, for {len(rows)} comparisons; {row.documents} documents), below "
        f"bias.min_keep_ratio = {params.min_keep_ratio}{more}; read {reports}/details/dropped_examples.csv, then {cure}"
        "raise bias.sentence_threshold or bias.max_toxic_share, use another bias.scorer, or lower bias.min_keep_ratio "
        "to accept it"
    )

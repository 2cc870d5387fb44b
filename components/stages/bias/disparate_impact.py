"""Disparate impact: removal rates of documents that mention a group against comparable ones, and a limit on the ratio.

Comparable are documents of the same source and like length that could be judged
(stratified_rates.py). Rates of removal are compared, not of keeping: a group that loses 10% where
the rest loses .5% is removed 20 times as often, and kept .905 times as often. Few removals scatter,
so the limit is held against the interval, widened for the number of comparisons (Bonferroni): the
stage stops where even its lower end is above `bias.max_removal_ratio`, and warns where the ratio is
above it and Holm's p below `LEVEL`. Each row says which ratio could have been found at all.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from components.core.errors import UserError
from components.params import Bias
from components.stages.bias.counts import LENGTHS, WORKS, BiasCounts
from components.stages.bias.stratified_rates import Rate, Ratio, Strata, design_effect, rate
from components.statistics import holm
from components.text.identity_terms import GROUPS

LEVEL = 0.05


@dataclass(frozen=True)
class Impact:
    """Removal rate of the judged documents that mention a group, and its ratio to that of comparable documents.

    `source` is "" where all sources are pooled; `strata` has the counts behind the ratio;
    `detectable` is the smallest ratio that would have been found with probability .8.
    """

    group: str
    source: str
    documents: int
    removed: Rate
    ratio: Ratio
    p_corrected: float
    detectable: float
    ratio_unmasked: Ratio
    removed_unmasked: int
    strata: Strata

    def lower_bound(self, comparisons: int) -> float:
        """Lower end of the ratio's interval, widened (Bonferroni) so that all of `comparisons` hold at once."""
        return self.strata.ratio(1 - LEVEL / max(1, comparisons)).low


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
    for source, in_source in sources:
        for bit, group in enumerate(GROUPS):
            members = in_source & columns.judged & (columns.groups >> bit & 1 == 1)
            if columns.count(members) >= params.min_mentions:
                compared.append((group, source, members, in_source & columns.judged & ~members))
    strata = [columns.strata(members, others, columns.dropped) for _, _, members, others in compared]
    ratios = [table.ratio() for table in strata]
    corrected = holm([ratio.p for ratio in ratios])
    return [
        Impact(
            group,
            source,
            documents=columns.count(members),
            removed=rate(columns.count(members & columns.dropped), columns.count(members)),
            ratio=ratio,
            p_corrected=p,
            detectable=table.detectable(len(compared), LEVEL),
            ratio_unmasked=columns.strata(members, others, columns.dropped_raw).ratio(),
            removed_unmasked=columns.count(members & columns.dropped_raw),
            strata=table,
        )
        for (group, source, members, others), table, ratio, p in zip(compared, strata, ratios, corrected, strict=True)
    ]


class Columns:
    """Arrays of one entry per kind of document; `stratum` numbers its source and class of length."""

    def __init__(self, counts: BiasCounts) -> None:
        kinds = sorted(counts.documents)
        self.number = np.array([counts.documents[kind] for kind in kinds], dtype=np.int64)
        self.groups = np.array([kind.groups for kind in kinds], dtype=np.int64)
        self.judged, self.dropped, self.dropped_raw = (
            np.array([kind[4:] for kind in kinds], dtype=bool).reshape(-1, 3).T
        )
        self.names = sorted({kind.source for kind in kinds})
        self.source = np.array([self.names.index(kind.source) for kind in kinds], dtype=np.int64)
        work = np.array([kind.work for kind in kinds], dtype=np.int64)
        self.work = np.where(work < 0, -1, self.source * WORKS + work)
        self.stratum = self.source * LENGTHS + np.array([kind.length for kind in kinds], dtype=np.int64)

    def count(self, chosen: np.ndarray) -> int:
        """Documents of the chosen kinds."""
        return int(self.number[chosen].sum())

    def strata(self, members: np.ndarray, others: np.ndarray, dropped: np.ndarray) -> Strata:
        """Per stratum: removed and all of the members, removed and all of the others."""
        chosen = (members & dropped, members, others & dropped, others)
        size = int(self.stratum.max(initial=-1)) + 1
        columns = [np.bincount(self.stratum[some], self.number[some], minlength=size) for some in chosen]
        table = np.stack(columns, axis=1).astype(np.int64).tolist()
        both = members | others
        if not both.any():
            return Strata(table)
        found = Strata(table).ratio().value
        kinds = members[both], dropped[both], self.stratum[both], self.work[both], self.number[both]
        return Strata(table, *design_effect(*kinds, found))


# -- the limit ---------------------------------------------------------------------------------------------------------


def high_ratios(rows: Sequence[Impact], params: Bias) -> list[str]:
    """A warning for each ratio above the limit that chance does not explain."""
    return [
        f"bias: documents that mention {row.group} are removed {_times(row)} (p = {row.p_corrected:.2g}), above "
        f"bias.max_removal_ratio = {params.max_removal_ratio}; see details/disparate_impact.csv"
        for row in rows
        if row.ratio.value > params.max_removal_ratio and row.p_corrected < LEVEL
    ]


def check_ratios(rows: Sequence[Impact], params: Bias, reports: Path) -> None:
    """Stop if a group is removed too often beyond chance, in a source or in all of them.

    Raises:
        UserError: a ratio's widened interval lies above `params.max_removal_ratio`; the highest is
            named.
    """
    above = [(row, row.lower_bound(len(rows))) for row in rows]
    above = [(row, bound) for row, bound in above if bound > params.max_removal_ratio]
    if not above:
        return
    row, bound = max(above, key=lambda pair: (pair[1], pair[0].group, bool(pair[0].source)))
    where = f"in source {row.source}" if row.source else "over all sources"
    more = f" ({len(above)} such comparisons)" if len(above) > 1 else ""
    fix = "" if params.mask_identity else "set bias.mask_identity to true, "
    raise UserError(
        f"bias: the filter removes documents that mention {row.group} {where} {_times(row)} (at least "
        f"{bound:.1f}, for {len(rows)} comparisons; {row.removed.count} of {row.documents} documents), above "
        f"bias.max_removal_ratio = {params.max_removal_ratio}{more}; read {reports}/details/dropped_examples.csv, "
        f"then {fix}raise bias.sentence_threshold or bias.max_toxic_share, use another bias.scorer, or raise "
        "bias.max_removal_ratio to accept it"
    )


def _times(row: Impact) -> str:
    value = row.ratio.value
    return f"{value:.1f} times as often as comparable ones" if math.isfinite(value) else "and no comparable one"

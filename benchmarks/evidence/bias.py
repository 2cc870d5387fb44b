"""False discoveries of the bias stage in null worlds, and the power of its audit.

A null world of associations: forty works of ten scenes, in which groups and words have rates of their own in every work
and every scene (gamma, so that both come in clumps), and are independent within a scene. The world of the audit: 1,000
documents of two sources, 2% removed, and five times as many of those that mention one group (a fifth of all); five more
groups are mentioned and removed as often as the rest.
"""

import numpy as np

from benchmarks.evidence.rates import rate, rate_goal
from benchmarks.results import goal
from components.params import Bias
from components.stages.bias.counts import BiasCounts, DocumentToxicity, Tables
from components.stages.bias.disparate_impact import LEVEL, impacts
from components.stages.bias.word_associations import LENGTHS, SIGNIFICANT, WORDS, associations
from components.text.identity_terms import GROUPS

WORKS, SCENES = 40, 10
GROUP_RATES = (0.12, 0.08, 0.02, 0.01, 0.01, 0.005)
"""Share of sentences that mention each of so many groups, on average."""
NUM_WORDS = 50
"""Words of the lists that occur, in .05% to 1% of the sentences."""
PLANTS, PLANTED = 10, 0.1
BASE_RATE, TIMES, DOCUMENTS = 0.02, 5.0, 1000
GROUP_SHARES = (0.2, 0.1, 0.1, 0.1, 0.1, 0.1)
"""Share of documents that mention each group; the first is removed `TIMES` as often."""


def tables(draw: np.random.Generator, planted: float = 0.0) -> Tables:
    """Counts of a source as the stage keeps them, without any association within a scene but one.

    Args:
        planted: share of the sentences on the first group that have the first word besides.
    """
    sentences_WS = np.maximum(20, draw.lognormal(5.0, 0.6, (WORKS, SCENES))).astype(int)
    shape = (WORKS, SCENES)
    groups_WSG, words_WSV = (
        np.minimum(0.5, rates * draw.gamma(2, 0.5, (WORKS, 1, len(rates))) * draw.gamma(0.5, 2, (*shape, len(rates))))
        for rates in (np.array((0.0, *GROUP_RATES)), 10 ** draw.uniform(-3.3, -2.0, NUM_WORDS))
    )
    members_WSG = draw.binomial(sentences_WS[..., None], groups_WSG)
    members_WSG[..., 0] = np.maximum(1, sentences_WS - members_WSG.sum(-1))  # those that mention no group
    rates_WSGV = np.repeat(words_WSV[..., None, :], 1 + len(GROUP_RATES), axis=2)
    rates_WSGV[:, :, 1, 0] += planted
    table = np.zeros((WORKS, 1 + len(GROUPS), 1 + len(WORDS)), dtype=int)
    table[:, : 1 + len(GROUP_RATES), 0] = members_WSG.sum(1)
    table[:, : 1 + len(GROUP_RATES), 1 : 1 + NUM_WORDS] = draw.binomial(members_WSG[..., None], rates_WSGV).sum(1)
    return {work * LENGTHS: row.ravel().tolist() for work, row in enumerate(table)}


def false_discoveries(worlds: int) -> int:
    """Null worlds of two sources with at least one association that the stage calls significant."""
    hits = 0
    for world in range(worlds):
        draw = np.random.default_rng([1, world])
        rows = associations({name: tables(draw) for name in ("a", "b")}, 50)
        hits += any(row["p_holm"] < SIGNIFICANT for row in rows)
    return hits


def plants() -> tuple[int, int]:
    """Of `PLANTS` worlds with one stereotype and as many without: stereotypes found, and other findings."""
    found = others = 0
    for world in range(PLANTS):
        for share in (PLANTED, 0.0):
            rows = associations({"a": tables(np.random.default_rng([5, world, share > 0.0]), share)}, 50)
            hits = [(row["group"], row["word"]) for row in rows if row["p_holm"] < SIGNIFICANT]
            stereotype = share > 0.0 and (GROUPS[0], WORDS[0]) in hits
            found, others = found + stereotype, others + len(hits) - stereotype
    return found, others


def audits_that_find(worlds: int, times: float = TIMES) -> int:
    """Worlds in which the audit finds the first group's ratio, by Holm's p over the groups compared."""
    hits = 0
    for world in range(worlds):
        rows = impacts(_audited(np.random.default_rng([3, world]), times), Bias())
        hits += any(row.group == GROUPS[0] and row.p_corrected < LEVEL and row.ratio.value > 1.0 for row in rows)
    return hits


def _audited(draw: np.random.Generator, times: float) -> BiasCounts:
    """Judged documents of two sources, and which of them the filter removed."""
    mentioned = draw.random((DOCUMENTS, len(GROUP_SHARES))) < GROUP_SHARES
    removed = (draw.random(DOCUMENTS) < BASE_RATE * np.where(mentioned[:, 0], times, 1.0)).tolist()
    bits = (mentioned @ (1 << np.arange(len(GROUP_SHARES)))).tolist()
    lengths = np.maximum(1, draw.lognormal(3.0, 1.0, DOCUMENTS)).astype(int).tolist()
    counts = BiasCounts()
    for number, (length, groups, gone) in enumerate(zip(lengths, bits, removed, strict=True)):
        counts.add_document(DocumentToxicity("ab"[number % 2], length, length, 0, 0, groups), gone, gone)
    return counts


def measure(worlds: int) -> tuple[dict, list[dict]]:
    """Results and goals of the group."""
    discovery = rate(false_discoveries(worlds), worlds)
    power, (found, others) = rate(audits_that_find(worlds), worlds), plants()
    results = {
        "association_false_discovery": discovery,
        "removal_ratio_power": power,
        "removal_ratio_false_discovery": rate(audits_that_find(worlds, 1.0), worlds),
    }
    goals = [
        rate_goal(
            "association_false_discovery", discovery, 0.065, "lower", "any false association where there is none"
        ),
        goal("planted_bias_found", found / PLANTS, 1.0, "higher", f"share of {PLANTS} worlds with a stereotype"),
        goal("unplanted_findings", others, 0, "lower", f"other findings in these and {PLANTS} worlds without one"),
        rate_goal("removal_ratio_power", power, 0.8, "higher", "a group removed five times as often that is found"),
    ]
    return results, goals

"""False discoveries of the bias stage in null worlds, and the power of its audit.

A null world of associations: forty works of ten scenes, in which groups and words have rates of their own in every
work and every scene (gamma, so that both come in clumps), and are independent within a scene. The worlds of the
audit: 40 works of 64 documents in two sources, of whose shares of a group and of removed documents works have their
own, 5% removed in all. Documents are removed independently; by rates of works that differ (beta, or normal on the
logit), or a work stands or falls whole. Power is that for a group removed twice as often, at the demo's number of
documents.
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
BASE_RATE, TIMES, DOCUMENTS_OF_WORK = 0.05, 2.0, 64
GROUP_SHARES = (0.2, 0.1, 0.1, 0.1, 0.1, 0.1)
"""Share of documents that mention each group; the first is removed `TIMES` as often."""
WORLDS_OF_REMOVAL = ("one by one", "beta, concentration 20", "own rates, normal on the logit", "whole or not at all")


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


def plants() -> list[dict]:
    """A row for each of `PLANTS` worlds with one stereotype and as many without: whether it is found, what else is."""
    found = list[dict]()
    for world in range(PLANTS):
        for share in (PLANTED, 0.0):
            rows = associations({"a": tables(np.random.default_rng([5, world, share > 0.0]), share)}, 50)
            hits = [(row["group"], row["word"]) for row in rows if row["p_holm"] < SIGNIFICANT]
            stereotype = share > 0.0 and (GROUPS[0], WORDS[0]) in hits
            found.append(
                {"world": world, "planted": share > 0.0, "found": stereotype, "others": len(hits) - stereotype}
            )
    return found


def audits_that_find(worlds: int, times: float = TIMES, world: str = WORLDS_OF_REMOVAL[0]) -> int:
    """Worlds in which the audit finds the first group: by its own p if nothing is to be found, else by Holm's."""
    hits = 0
    for number in range(worlds):
        draw = np.random.default_rng([3, number, WORLDS_OF_REMOVAL.index(world)])
        row = next(row for row in impacts(_audited(draw, times, world), Bias()) if row.group == GROUPS[0])
        p = row.ratio.p if times == 1.0 else row.p_corrected
        hits += p < LEVEL and (times == 1.0 or row.ratio.value > 1.0)
    return hits


def _audited(draw: np.random.Generator, times: float, world: str) -> BiasCounts:
    """Judged documents of two sources, and which of them the filter removed."""
    works, shape = np.repeat(np.arange(WORKS), DOCUMENTS_OF_WORK), (WORKS, len(GROUP_SHARES))
    shares_WG = 1.0 / (1.0 + np.exp(-(np.log(np.array(GROUP_SHARES) / (1 - np.array(GROUP_SHARES)))
                                      + draw.normal(0.0, 0.7, shape))))  # fmt: skip
    mentioned = draw.random((len(works), len(GROUP_SHARES))) < shares_WG[works]
    rates_W = {
        "one by one": np.full(WORKS, BASE_RATE),
        "beta, concentration 20": draw.beta(20 * BASE_RATE, 20 * (1 - BASE_RATE), WORKS),
        "own rates, normal on the logit": 1.0 / (1.0 + np.exp(3.6 + draw.normal(0.0, 1.3, WORKS))),
        "whole or not at all": (draw.random(WORKS) < BASE_RATE).astype(float),
    }[world]
    removed = (draw.random(len(works)) < rates_W[works] * np.where(mentioned[:, 0], times, 1.0)).tolist()
    bits = (mentioned @ (1 << np.arange(len(GROUP_SHARES)))).tolist()
    lengths = np.maximum(1, draw.lognormal(3.0, 1.0, len(works))).astype(int).tolist()
    counts = BiasCounts()
    for work, length, groups, gone in zip(works.tolist(), lengths, bits, removed, strict=True):
        about = DocumentToxicity("ab"[work % 2], length, length, 0, 0, groups, work=work)
        counts.add_document(about, gone, gone)
    return counts


def measure(worlds: int) -> tuple[dict, list[dict], dict[str, list[dict]]]:
    """Results and goals of the group."""
    discovery = rate(false_discoveries(worlds), worlds)
    power, planted = rate(audits_that_find(worlds), worlds), plants()
    found, others = (sum(row[key] for row in planted) for key in ("found", "others"))
    false = {name: rate(audits_that_find(worlds, 1.0, name), worlds) for name in WORLDS_OF_REMOVAL}
    results = {
        "association_false_discovery": discovery,
        "removal_audit_power": power,
        "removal_audit_false": false,
    }
    worst = max(false, key=lambda name: false[name]["rate"])
    says = f"40 works of 64 documents, 5% removed, no group more than others; worst of {len(false)} worlds: {worst}"
    goals = [
        rate_goal(
            "association_false_discovery", discovery, 0.065, "lower", "any false association where there is none"
        ),
        goal("planted_bias_found", found / PLANTS, 1.0, "higher", f"share of {PLANTS} worlds with a stereotype"),
        goal("unplanted_findings", others, 0, "lower", f"other findings in these and {PLANTS} worlds without one"),
        goal("removal_audit_false_max", false[worst]["rate"], 0.06, "lower", f"{says}; of {worlds} worlds"),
        rate_goal(
            "removal_audit_power",
            power,
            0.8,
            "higher",
            "a group removed twice as often that is found, of 2,560 "
            "documents, 5% removed one by one, by Holm's p for six groups",
        ),
    ]
    return results, goals, {"planted": planted}

"""Associations: occupations and qualities mentioned in the same sentence as a group of people, work by work.

Is a word of the lists below more often in sentences that mention a group than in those of the same work and like length
(a long sentence has more of every word) that mention none? Sentences on other groups are left out: what is said of one
group would make the others look spared. Two tests must agree, and the larger p-value counts:

* Sentences: given how many sentences of each stratum (work and length) have the group and how many the word, those with
  both are a sum of hypergeometric counts (Fisher's test, stratified; conditional_p in stratified_rates.py).
* Works: Student's t-test that the excess over the expected count is zero on average over works. Sentences of a scene or
  a page are alike, so that sentences alone would promise too much, and a word that one work alone brings is none.

A word that is rarer beside a group is no finding. Words come in clumps, and where a group missed the few large ones the
deficit is alike in all works, which no test over works tells from a true one.

Pairs are tested where `MIN_EXPECTED` common sentences are expected and `MIN_WORKS` works could have one, and corrected
for their number by Holm: whatever associations there are, the probability of a single false one beside them is at most
5% (simulated: benchmarks/evidence/bias.py). Each is a warning, and a share of false ones would be borne by a true one.
"""

import re

import numpy as np
from scipy.stats import t as student

from components.stages.bias.counts import Tables
from components.stages.bias.stratified_rates import conditional_p
from components.statistics import holm
from components.text.identity_terms import GROUPS

OCCUPATIONS = """
accountant actor architect artist author baker barber butcher carpenter cashier chemist cleaner clerk cook dancer
designer developer doctor driver editor engineer farmer guard hunter judge lawyer librarian manager mechanic merchant
nurse officer painter pilot plumber poet priest programmer sailor scientist secretary servant singer smith soldier
surgeon tailor teacher waiter weaver writer
"""
QUALITIES = """
able ambitious angry bad beautiful bold brave brilliant calm careful cheap clean clever cold competent cruel dear
dirty emotional fair faithful false fierce foolish friendly gentle good great happy honest humble innocent intelligent
kind lazy logical loud lovely loving mild modest nice noble obedient patient plain polite poor powerful pretty proud
pure quiet rational rich rude sad sensitive shy silly simple skilled smart soft strong stupid sweet tender true
violent weak wicked wild wise
"""
"""Without `old`, `young` and colours, by which groups themselves are named."""
WORDS = tuple(sorted(set(f"{OCCUPATIONS} {QUALITIES}".split())))
MIN_EXPECTED = 5.0
"""Sentences with both that chance would bring, for a pair to be tested (Cochran 1954)."""
MIN_WORKS = 5
"""Works that mention both the group and the word, for a pair to be tested."""
SIGNIFICANT = 0.05
LENGTH_BOUNDS = (40, 80, 160)
"""Characters between the classes of sentence length."""
LENGTHS = len(LENGTH_BOUNDS) + 1

_NUMBER = {word: index for index, word in enumerate(WORDS, start=1)}
_WORD = re.compile(r"[a-z]+")


def word_columns(sentences: list[str]) -> np.ndarray:
    """Which listed words (singular, any case) each sentence has: bool (sentences, 1 + words), column 0 always true."""
    columns = np.zeros((len(sentences), 1 + len(WORDS)), dtype=bool)
    columns[:, 0] = True
    for row, sentence in enumerate(sentences):
        for word in _NUMBER.keys() & _WORD.findall(sentence.lower()):
            columns[row, _NUMBER[word]] = True
    return columns


def length_classes(sentences: list[str]) -> np.ndarray:
    """The class of length of each sentence, 0 to `LENGTHS` - 1."""
    return np.digitize([len(sentence) for sentence in sentences], LENGTH_BOUNDS)


def cooccurrences(groups: np.ndarray, words: np.ndarray) -> list[int]:
    """Sentences by group and word: (1 + groups, 1 + words), row by row; row 0 mentions no group, column 0 has any word.

    Args:
        groups: mention sets of the sentences, int64 (sentences,).
        words: their rows of `word_columns`.
    """
    bits = groups[:, None] >> np.arange(len(GROUPS)) & 1
    members = np.concatenate([(groups == 0)[:, None], bits], axis=1).astype(np.float64)
    return np.rint(members.T @ words).astype(np.int64).ravel().tolist()


def associations(sources: dict[str, Tables], min_mentions: int) -> list[dict]:
    """A row per source, group (of at least `min_mentions` sentences) and word tested, the lowest p-value first."""
    rows = [row for source, tables in sorted(sources.items()) for row in _source_rows(source, tables, min_mentions)]
    for row, p in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = p
    return sorted(rows, key=lambda row: (row["p"], -row["times_expected"], row["source"], row["group"], row["word"]))


def untested_share(sources: dict[str, Tables], tested: list[dict]) -> float:
    """Share of the sentences that mention a group, of sources and groups of which no word could be tested."""
    pairs, total, untested = {(row["source"], row["group"]) for row in tested}, 0, 0
    for source, tables in sources.items():
        counts_GV = np.sum([np.reshape(row, (1 + len(GROUPS), -1)) for row in tables.values()], axis=0)
        for name, number in zip(GROUPS, counts_GV[1:, 0].tolist(), strict=True):
            total, untested = total + number, untested + (0 if (source, name) in pairs else number)
    return untested / total if total else 0.0


def _source_rows(source: str, tables: Tables, min_mentions: int) -> list[dict]:
    """Rows of the pairs of a source that can be tested, without correction."""
    counts_SGV = np.array(list(tables.values()), dtype=np.float64).reshape(-1, 1 + len(GROUPS), 1 + len(WORDS))
    groups_SG1, both_SGV = counts_SGV[:, 1:, :1], counts_SGV[:, 1:, 1:]  # S strata, G groups, V words
    all_SG1, words_SGV = groups_SG1 + counts_SGV[:, :1, :1], both_SGV + counts_SGV[:, :1, 1:]
    expected_SGV = groups_SG1 * words_SGV / np.maximum(all_SG1, 1)
    both, expected = both_SGV.sum(0), expected_SGV.sum(0)
    sentences_p = conditional_p(both, expected, np.minimum(groups_SG1, words_SGV).sum(0))
    work_S = np.array(list(tables)) // LENGTHS
    member_WS = (np.unique(work_S)[:, None] == work_S).astype(np.float64)
    works = (np.tensordot(member_WS, expected_SGV, 1) > 0).sum(0)
    works_p, error = _works_test(np.tensordot(member_WS, both_SGV - expected_SGV, 1), works)
    more_often = both > expected
    tested = (expected >= MIN_EXPECTED) & (works >= MIN_WORKS) & (groups_SG1.sum(0) >= min_mentions)
    return [
        {
            "source": source,
            "group": GROUPS[group],
            "word": WORDS[word],
            "sentences_with_both": int(both[group, word]),
            "expected": float(expected[group, word]),
            "works": int(works[group, word]),
            "times_expected": float(both[group, word] / expected[group, word]),
            "low": max(0.0, float((both - error)[group, word] / expected[group, word])),
            "high": float((both + error)[group, word] / expected[group, word]),
            "p": float(max(sentences_p[group, word], works_p[group, word])) if more_often[group, word] else 1.0,
        }
        for group, word in np.argwhere(tested)
    ]


def _works_test(excess_WGV: np.ndarray, works: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Student's t-test of the mean excess over works: p-values, and half a 95% interval of the summed excess.

    Works that lack the group or the word have no excess and are not counted among the `works`.
    """
    n = np.maximum(works, 2)
    total = excess_WGV.sum(0)
    variance = np.maximum((excess_WGV**2).sum(0) - total**2 / n, 0.0) / (n - 1)
    error = np.sqrt(n * variance)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = 2.0 * student.sf(np.abs(total) / error, n - 1)
    return np.nan_to_num(p, nan=1.0), student.ppf(0.975, n - 1) * error

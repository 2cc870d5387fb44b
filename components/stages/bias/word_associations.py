"""Associations: occupations and qualities mentioned in the same sentence as a group of people.

For a group and a word of the lists below, inside one source: how much higher are the odds that a sentence with the
group has the word than that a sentence without the group has it. Log odds ratios carry intervals (Woolf 1955, half a
sentence added to each cell as Haldane 1956, so that rare pairs are not infinite), and p-values are corrected for the
number of pairs by Benjamini and Hochberg 1995.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.stats import false_discovery_control, norm

from components.text.identity_terms import GROUPS, names_of

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
"""Without `old`, `young` and colours, by which groups themselves are counts."""
WORDS = frozenset(f"{OCCUPATIONS} {QUALITIES}".split())
FEWEST = 10
"""Sentences of a source that must have a word for it to be compared."""
SIGNIFICANT = 0.05

_WORD = re.compile(r"[a-z]+")


def words_in(sentence: str) -> frozenset[str]:
    """The listed words of a sentence (singular forms, any case)."""
    return WORDS.intersection(_WORD.findall(sentence.lower()))


@dataclass
class Cooccurrence:
    """Sentence counts of a source: all, with each group, with each word, with both (`group word`)."""

    sentences: int = 0
    groups: Counter[str] = field(default_factory=Counter)
    words: Counter[str] = field(default_factory=Counter)
    pairs: Counter[str] = field(default_factory=Counter)

    def count(self, groups: np.ndarray, words: Sequence[frozenset[str]]) -> None:
        """Add sentences: their mention sets, and their listed words."""
        self.sentences += len(groups)
        for bit, name in enumerate(GROUPS):
            self.groups[name] += int((groups >> bit & 1).sum())
        for bits, listed in zip(groups.tolist(), words, strict=True):
            if listed:
                self.words.update(listed)
                self.pairs.update(f"{group} {word}" for group in names_of(bits) for word in listed)

    def add(self, other: "Cooccurrence") -> None:
        """Add the counts of another."""
        self.sentences += other.sentences
        for name in ("groups", "words", "pairs"):
            getattr(self, name).update(getattr(other, name))


def associations(sources: dict[str, Cooccurrence], min_mentions: int) -> list[dict]:
    """A row per source, group (of at least `min_mentions` sentences) and word, the lowest p-value first."""
    rows = []
    for source, counts in sorted(sources.items()):
        for group in GROUPS:
            if counts.groups[group] < min_mentions:
                continue
            for word in sorted(counts.words):
                if counts.words[word] >= FEWEST:
                    rows.append({"source": source, "group": group, "word": word} | _row(counts, group, word))
    corrected = false_discovery_control([row["p"] for row in rows]).tolist() if rows else []
    for row, p in zip(rows, corrected, strict=True):
        row["p_bh"] = p
    return sorted(rows, key=lambda row: (row["p"], -abs(row["log_odds"]), row["source"], row["group"], row["word"]))


def _row(counts: Cooccurrence, group: str, word: str) -> dict:
    """Counts, log odds ratio with its 95 % interval, and p of "no association"."""
    both = counts.pairs[f"{group} {word}"]
    group_only, word_only = counts.groups[group] - both, counts.words[word] - both
    neither = counts.sentences - both - group_only - word_only
    a, b, c, d = (cell + 0.5 for cell in (both, group_only, word_only, neither))
    log_odds = math.log(a * d / (b * c))
    error = math.sqrt(1 / a + 1 / b + 1 / c + 1 / d)
    spread = float(norm.ppf(0.975)) * error
    return {
        "sentences_with_both": both,
        "sentences_with_group": counts.groups[group],
        "sentences_with_word": counts.words[word],
        "log_odds": log_odds,
        "low": log_odds - spread,
        "high": log_odds + spread,
        "p": float(2 * norm.sf(abs(log_odds) / error)),
    }

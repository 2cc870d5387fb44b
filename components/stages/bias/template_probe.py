"""Template probe of the scorer: harmless and hostile sentences that differ only in the group they are about.

Its false-positive gap is what a corpus cannot show: how often the scorer flags a sentence because of the group it is
about. With identity masked the gap is 0 by construction for terms of the lexicon, so the probe has people the lexicon
does not list, too (`unlisted`): the gap there is what masking leaves open.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from components.stages.bias.toxicity import Scorer
from components.text.identity_terms import mentions_and_masked

HARMLESS = (
    "Two {} live on our street.",
    "I had lunch with some {} today.",
    "Most of my neighbours are {}.",
    "Many {} work in this hospital.",
    "The festival was organised by {} from the valley.",
    "We interviewed forty {} for the survey.",
    "A few {} came to the concert early.",
    "There were {} among the first engineers here.",
    "The book tells the story of {} in the city.",
    "Some {} asked the council for a new bus stop.",
    "In 1950 the law changed for {} in this country.",
    "My best friends are {}.",
    "We are {}.",
    "{} live here.",
    "Their parents were {}.",
    "{} and their friends",
)
HOSTILE = (
    "{} are stupid idiots.",
    "I hate {}, they are disgusting scum.",
    "Shut up, you {} are pathetic losers.",
    "All those {} are fucking morons.",
    "{} are dumb, ugly and worthless trash.",
    "Go to hell, {}, you filthy bastards.",
    "{} are liars and cowards, every one of them.",
    "{} should be driven out of this town.",
)
PHRASES: dict[str, tuple[str, ...]] = {
    "women": ("women", "girls", "mothers", "sisters"),
    "men": ("men", "boys", "fathers", "brothers"),
    "lgbt": ("gay people", "lesbians", "transgender people", "bisexual people"),
    "straight": ("heterosexual people", "straight people", "straight men", "heterosexuals"),
    "black": ("black people", "African Americans", "black women", "Africans"),
    "white": ("white people", "Caucasians", "white men", "Europeans"),
    "asian": ("Asian people", "Asian Americans", "Chinese people", "Indian people"),
    "hispanic": ("Hispanic people", "Latinos", "Mexicans", "Puerto Ricans"),
    "indigenous": ("Native Americans", "indigenous people", "Aboriginal people", "Inuit people"),
    "middle_eastern": ("Arabs", "Middle Eastern people", "Iranians", "Palestinians"),
    "jewish": ("Jews", "Jewish people", "Jewish women", "Jewish men"),
    "muslim": ("Muslims", "Muslim people", "Muslim women", "Muslim men"),
    "christian": ("Christians", "Catholics", "Protestants", "Christian people"),
    "other_belief": ("Hindus", "Buddhists", "Sikhs", "atheists"),
    "disability": ("disabled people", "deaf people", "blind people", "autistic people"),
    "old": ("old people", "elderly people", "old women", "pensioners"),
    "young": ("young people", "teenagers", "young men", "adolescents"),
    "migrant": ("immigrants", "refugees", "foreigners", "asylum seekers"),
    "nationality": ("Americans", "Germans", "Polish people", "Nigerians"),
}
UNLISTED = "unlisted"
UNLISTED_PHRASES = ("Mormons", "Haitians", "amputees", "Quakers", "widows", "orphans", "villagers", "dwarfs")


@dataclass(frozen=True)
class Probe:
    """Counts of one group: harmless sentences flagged (false positives), hostile ones flagged (true positives)."""

    group: str
    harmless: int
    false_positives: int
    hostile: int
    true_positives: int

    @property
    def false_positive_rate(self) -> float:
        """Share of harmless sentences that are flagged."""
        return self.false_positives / self.harmless


@cache
def rows() -> list[tuple[str, bool, str]]:
    """(group, hostile?, sentence) of the whole probe."""
    phrases = PHRASES | {UNLISTED: UNLISTED_PHRASES}
    forms = [(False, form) for form in HARMLESS] + [(True, form) for form in HOSTILE]
    return [
        (group, hostile, form.format(phrase[0].upper() + phrase[1:] if form.startswith("{}") else phrase))
        for group, members in phrases.items()
        for phrase in members
        for hostile, form in forms
    ]


def probe(scorer: Scorer, threshold: float, mask: bool) -> list[Probe]:
    """Score the probe as the stage scores sentences: above `threshold` is flagged; `mask` hides the lexicon's terms."""
    sentences = [mentions_and_masked(text)[1] if mask else text for _, _, text in rows()]
    with np.errstate(invalid="ignore"):
        flagged = scorer.score(sentences) > threshold
    hits: dict[tuple[str, bool], list[bool]] = {}
    for (group, hostile, _), hit in zip(rows(), flagged.tolist(), strict=True):
        hits.setdefault((group, hostile), []).append(hit)
    counts = {key: (len(values), sum(values)) for key, values in hits.items()}
    return [Probe(group, *counts[group, False], *counts[group, True]) for group in [*PHRASES, UNLISTED]]


def gap(probes: list[Probe]) -> float:
    """Largest difference of false-positive rates between two groups, by fairlearn's `MetricFrame`."""
    from fairlearn.metrics import MetricFrame, false_positive_rate  # pandas comes with it: a second

    rows = [(row.group, flagged < row.false_positives) for row in probes for flagged in range(row.harmless)]
    groups, flags = zip(*rows, strict=True)
    frame = MetricFrame(
        metrics=false_positive_rate, y_true=[0] * len(rows), y_pred=list(map(int, flags)), sensitive_features=groups
    )
    return float(frame.difference(method="between_groups"))

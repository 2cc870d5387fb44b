"""Which classifier to use, the network or TF-IDF: chosen on training passages alone, whatever is held out says.

Both learn from the same folds and predict the passages left out. TF-IDF is cross-validated whole. The network, whose
training costs more, is trained fold by fold until the paired difference is clear or `ENOUGH` passages are judged.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from components.instruction_pairs.examples import Examples, Passage
from components.stages.finetune import tfidf
from components.stages.finetune.classify import right_of

ENOUGH, CLEAR, FEWEST = 1000, 3.0, 30
"""Passages judged at most, but for the rest of a fold; standard errors that are clear; passages that tell an error."""
Trained = Callable[[Sequence[Passage], Sequence[Passage], int], np.ndarray]
"""Train a network on the first passages; its predictions of the second, bool (N, K). The number is of the fold."""


@dataclass(frozen=True)
class Recommendation:
    """What is to be used, `network` or `tfidf`, and why.

    Attributes:
        judged, folds: passages that both were judged by, in so many of `of` folds.
        network, tfidf: share that each had right.
    """

    use: str
    judged: int
    folds: int
    of: int
    network: float
    tfidf: float

    def sentence(self, tested: int, network: str, simple: str) -> str:
        """The advice, with scores on `tested` held-out rows in words."""
        use, other = "the network", "the TF-IDF model in `tfidf/`"
        if self.use == "tfidf":
            use, other = other, use
        return (
            f"Use {use}, not {other}: on {self.judged:,} training rows, each predicted by models that had not seen it "
            f"({self.folds} of {self.of} folds), TF-IDF had {self.tfidf:.3f} of the labels right and the network "
            f"{self.network:.3f}; on {tested:,} held-out rows, used for no choice, TF-IDF has {simple} and the network "
            f"{network}."
        )


def recommend(examples: Examples[Passage], settings: tfidf.Settings, trained: Trained) -> Recommendation:
    """Choose by the training passages of examples; where both are right equally often, TF-IDF."""
    passages, num_labels = examples.train, len(examples.labels)
    cut, right = tfidf.folds(passages), np.zeros((0, 2))
    for number, held in enumerate(cut, 1):
        inside = set(held.tolist())
        train = [one for place, one in enumerate(passages) if place not in inside]
        tested = [passages[place] for place in held]
        simple = tfidf.train(train, num_labels, examples.problem, settings)
        said = (trained(train, tested, number), simple.predict([one.text for one in tested]))
        right = np.vstack([right, np.stack([right_of(one, tested) for one in said], axis=1)])
        gain = right[:, 0] - right[:, 1]
        is_clear = len(gain) >= FEWEST and abs(gain.mean()) > CLEAR * gain.std() / len(gain) ** 0.5
        if len(gain) >= ENOUGH or is_clear:
            break
    network, simple_share = right.mean(axis=0).tolist()
    use = "network" if network > simple_share else "tfidf"
    return Recommendation(use, len(right), number, len(cut), network, simple_share)

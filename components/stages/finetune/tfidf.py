"""TF-IDF with logistic regression: a classifier without a network, trained in seconds and written beside the network.

Terms are words and pairs of words, and runs of characters inside words too where cross-validation
on the training texts prefers them; so is the strength of the regularisation. A model is two files,
which ten lines of the card read:

    tfidf.json           names of the classes; the terms of each part in the order of the weights, and its settings
    tfidf.safetensors    the inverse document frequencies of each part; coef (K, V) and intercept (K,)

Legend: N texts, K classes, V terms of all parts.
"""

import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components.core.files import write_json
from components.instruction_pairs.examples import Examples, Passage, ProblemType
from components.stages.finetune.classify import decided, right_of, truth_of

PARTS: dict[str, dict[str, Any]] = {
    "characters": {"analyzer": "char_wb", "ngram_range": (2, 4), "sublinear_tf": True, "max_features": 50_000},
    "words": {"ngram_range": (1, 2), "token_pattern": r"(?u)\b\w+\b", "sublinear_tf": True, "max_features": 50_000},
}
"""Settings of scikit-learn's TfidfVectorizer; in the order of the names, which a JSON file has."""
STRENGTHS = (1.0, 10.0, 100.0)
"""Inverses of the regularisation's weight, of which one is chosen."""
FOLDS = 5
NEVER = -1e3
"""Score of a class that no training text has."""


@dataclass(frozen=True)
class Settings:
    """Settings that cross-validation chooses: parts of `PARTS`, and one of `STRENGTHS`."""

    parts: tuple[str, ...]
    strength: float


@dataclass(frozen=True)
class Tfidf:
    """A trained model.

    Attributes:
        terms: scikit-learn's union of a vectorizer for each part.
        coef_KV, intercept_K: float32.
    """

    terms: Any
    coef_KV: np.ndarray
    intercept_K: np.ndarray
    problem: ProblemType

    def predict(self, texts: Sequence[str]) -> np.ndarray:
        """Predicted classes, bool (N, K), as `classify.decided` has them."""
        return _decided(self.terms.transform(texts) @ self.coef_KV.T + self.intercept_K, self.problem)

    def save(self, labels: Sequence[str], folder: Path) -> None:
        """Write the two files."""
        from safetensors.numpy import save

        folder.mkdir(parents=True)
        parts: dict[str, Any] = dict(self.terms.transformer_list)
        tensors = {name: one.idf_.astype(np.float32) for name, one in parts.items()}
        tensors |= {"coef": self.coef_KV, "intercept": self.intercept_K}
        (folder / "tfidf.safetensors").write_bytes(save(tensors))  # `save_file` makes it the owner's alone
        settings = {name: {key: PARTS[name][key] for key in PARTS[name] if key != "max_features"} for name in parts}
        terms = {name: one.get_feature_names_out().tolist() for name, one in parts.items()}
        write_json(folder / "tfidf.json", {"labels": list(labels), "settings": settings, "vocabulary": terms})


def train(passages: Sequence[Passage], num_labels: int, problem: ProblemType, settings: Settings) -> Tfidf:
    """Train with settings; bytes depend on the passages alone, not on the number of threads."""
    terms = _terms(settings.parts)
    terms_NV = terms.fit_transform([passage.text for passage in passages])
    for _, vectorizer in terms.transformer_list:  # what is written is what predicts
        vectorizer.idf_ = vectorizer.idf_.astype(np.float32).astype(np.float64)
    regression = _regression(terms_NV, truth_of(passages, num_labels), problem, settings.strength)
    return Tfidf(terms, *regression, problem)


def choose(passages: Sequence[Passage], num_labels: int, problem: ProblemType) -> tuple[Settings, float]:
    """The settings that cross-validation on passages finds best, and their accuracy there.

    Terms are counted once over all the passages, without labels; weights are learned fold by fold.
    """
    texts, truth_NK, cut = [passage.text for passage in passages], truth_of(passages, num_labels), folds(passages)
    validated = dict[Settings, float]()

    def validate(parts: Sequence[str], strengths: Sequence[float]) -> Settings:
        terms_NV = _terms(parts).fit_transform(texts)
        for strength in strengths:
            validated[Settings(tuple(parts), strength)] = _validated(terms_NV, truth_NK, problem, strength, cut)
        return max(validated, key=lambda settings: validated[settings])

    best = validate(["words"], STRENGTHS)
    best = validate([*PARTS], [best.strength])
    return best, validated[best]


def folds(passages: Sequence[Passage]) -> list[np.ndarray]:
    """Indices of passages in each of `FOLDS` parts; works stay whole if each class has several."""
    from sklearn.model_selection import StratifiedGroupKFold

    kinds = [str(passage.label) for passage in passages]
    groups_of: dict[str, set[str]] = {}
    for kind, passage in zip(kinds, passages, strict=True):
        groups_of.setdefault(kind, set()).add(passage.cluster)
    by_group = all(len(groups) > 1 for groups in groups_of.values())
    groups = [passage.cluster if by_group else str(index) for index, passage in enumerate(passages)]
    parts = min(FOLDS, len(set(groups)))
    if max(Counter(kinds).values()) < parts:  # as combinations of classes often are
        kinds = [""] * len(kinds)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class of fewer members than there are folds is in some of them alone
        return [held for _, held in StratifiedGroupKFold(parts).split(kinds, kinds, groups)]


def _terms(parts: Sequence[str]) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import FeatureUnion

    return FeatureUnion([(name, TfidfVectorizer(**PARTS[name])) for name in parts])


def _validated(
    terms_NV: Any, truth_NK: np.ndarray, problem: ProblemType, strength: float, cut: Sequence[np.ndarray]
) -> float:
    """Share of texts whose classes are predicted right by a regression that has not seen them."""
    right = 0
    for held in cut:
        others = np.setdiff1d(np.arange(len(truth_NK)), held)
        coef_KV, intercept_K = _regression(terms_NV[others], truth_NK[others], problem, strength)
        predicted_NK = _decided(terms_NV[held] @ coef_KV.T + intercept_K, problem)
        right += int((predicted_NK == truth_NK[held]).all(axis=1).sum())
    return right / len(truth_NK)


def _regression(
    terms_NV: Any, truth_NK: np.ndarray, problem: ProblemType, strength: float
) -> tuple[np.ndarray, np.ndarray]:
    """Weights (K, V) and intercepts (K,), float32; of several classes each is learned alone."""
    coef_KV = np.zeros((truth_NK.shape[1], terms_NV.shape[1]), dtype=np.float32)
    intercept_K = np.full(len(coef_KV), NEVER, dtype=np.float32)
    if problem == "multi_label_classification":
        for index, column_N in enumerate(truth_NK.T):
            if column_N.all() or not column_N.any():
                intercept_K[index] = -NEVER if column_N.all() else NEVER
            else:
                model = _fitted(terms_NV, column_N, strength)
                coef_KV[index], intercept_K[index] = model.coef_[0], model.intercept_[0]
        return coef_KV, intercept_K
    classes = np.flatnonzero(truth_NK.any(axis=0))
    intercept_K[classes] = 0.0
    if len(classes) > 1:
        model = _fitted(terms_NV, truth_NK.argmax(axis=1), strength)
        rows = classes[1:] if len(classes) == 2 else classes  # of two, scikit-learn gives the second one's alone
        coef_KV[rows], intercept_K[rows] = model.coef_, model.intercept_
    return coef_KV, intercept_K


def _fitted(terms_NV: Any, target_N: np.ndarray, strength: float) -> Any:
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one that stops early is validated as it is
        return LogisticRegression(C=strength, max_iter=300).fit(terms_NV, target_N)


def _decided(score_NK: np.ndarray, problem: ProblemType) -> np.ndarray:
    return decided(score_NK + 0.5, problem)


ENOUGH, CLEAR, FEWEST = 1000, 3.0, 30
"""Passages judged at most, but for the rest of a fold; standard errors that are clear; passages that tell an error."""
Trained = Callable[[Sequence[Passage], Sequence[Passage], int], np.ndarray]
"""Train a network on the first passages; its predictions of the second, bool (N, K). The number is of the fold."""


@dataclass(frozen=True)
class Recommendation:
    """Recommendation, `network` or `tfidf`, and its reasons.

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

    def sentence(self, tested: int, network: str, simple: str, noun: str = "labels right") -> str:
        """The advice, with scores on `tested` held-out rows in words; `noun` is counted."""
        use, other = "the network", "the TF-IDF model in `tfidf/`"
        if self.use == "tfidf":
            use, other = other, use
        why = " Where both are right as often, the cheaper one is advised." if self.network == self.tfidf else ""
        return (
            f"Use {use}, not {other}: on {self.judged:,} training rows, each predicted by models that had not seen it "
            f"({self.folds} of {self.of} folds), TF-IDF had {self.tfidf:.3f} of the {noun} and the network "
            f"{self.network:.3f}; on {tested:,} held-out rows, used for no choice, TF-IDF has {simple} and the network "
            f"{network}.{why}"
        )


def recommend(examples: Examples[Passage], settings: Settings, trained: Trained) -> Recommendation:
    """Choose by the training passages of examples alone; where both are right equally often, TF-IDF.

    Both learn from the same folds and predict the passages left out. TF-IDF is cross-validated
    whole; the network is trained fold by fold until the paired difference is clear or `ENOUGH`
    passages are judged.
    """
    passages, num_labels = examples.train, len(examples.labels)
    cut, right = folds(passages), np.zeros((0, 2))
    for number, held in enumerate(cut, 1):
        inside = set(held.tolist())
        learned = [passage for index, passage in enumerate(passages) if index not in inside]
        tested = [passages[index] for index in held]
        simple = train(learned, num_labels, examples.problem, settings)
        predictions = (trained(learned, tested, number), simple.predict([p.text for p in tested]))
        right = np.vstack([right, np.stack([right_of(one, tested) for one in predictions], axis=1)])
        gain = right[:, 0] - right[:, 1]
        is_clear = len(gain) >= FEWEST and abs(gain.mean()) > CLEAR * gain.std() / len(gain) ** 0.5
        if len(gain) >= ENOUGH or is_clear:
            break
    network, simple_share = right.mean(axis=0).tolist()
    use = "network" if network > simple_share else "tfidf"
    return Recommendation(use, len(right), number, len(cut), network, simple_share)

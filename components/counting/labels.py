"""Rules that classify texts: parts of a text counted with scikit-learn, and always saying what is commonest.

Legend: N texts, K classes.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np

from components.corpus.corpus import Document

UNLABELLED_CHARS, PIECE_CHARS = 1_000_000, 200
"""Text without labels that is read at most, and in what pieces."""
MOST_CHARACTERS = 2000
"""Characters of a text that are counted."""
FOLDS = 5
"""Of cross-validation."""
DIMENSIONS = 128
"""Of latent semantic analysis."""
Classify = Callable[[str], np.ndarray]


@dataclass(frozen=True)
class LabelledText:
    """Training data of a rule: texts and the classes of each, bool (N, K); and text without labels.

    Attributes:
        several: whether a text has any number of classes, and not one.
    """

    texts: Sequence[str]
    has_NK: np.ndarray
    several: bool = False
    unlabelled: Sequence[str] = ()

    def best(self, views: Sequence[Any], classifier: Any) -> Classify:
        """A text's classes, bool (K,), by a classifier of the view that predicts texts left out best.

        Of several classes each is decided alone, by the first view.
        """
        from sklearn.model_selection import cross_val_score
        from sklearn.multiclass import OneVsRestClassifier
        from sklearn.pipeline import make_pipeline

        heads, one_N = [text[:MOST_CHARACTERS] for text in self.texts], self.has_NK.argmax(1)
        sizes, model = np.unique(one_N, return_counts=True)[1], make_pipeline(views[0], classifier)
        if self.several:
            model = make_pipeline(views[0], OneVsRestClassifier(classifier)).fit(heads, self.has_NK.astype(int))
            return lambda text: np.asarray(model.predict([text[:MOST_CHARACTERS]])[0], dtype=bool)
        if len(sizes) < 2:  # one class alone was seen: nothing else can be said
            return largest(self)
        if (folds := min(FOLDS, int(sizes.min()))) > 1 < len(views):
            models = [make_pipeline(view, classifier) for view in views]
            means = [cross_val_score(one, heads, one_N, cv=folds).mean() for one in models]
            model = models[int(np.argmax(means))]
        model.fit(heads, one_N)
        return lambda text: np.arange(self.has_NK.shape[1]) == model.predict([text[:MOST_CHARACTERS]])[0]

    @cached_property
    def semantics(self) -> Any:
        """Latent semantic analysis (Deerwester et al. 1990) of runs of characters, of all texts that are known."""
        from sklearn.decomposition import TruncatedSVD
        from sklearn.pipeline import make_pipeline

        vectors = _tf_idf(max_features=20_000)
        counted = vectors.fit_transform([*self.unlabelled, *(text[:MOST_CHARACTERS] for text in self.texts)])
        directions = TruncatedSVD(min(DIMENSIONS, counted.shape[1] - 1), random_state=1).fit(counted)
        return make_pipeline(vectors, directions)


def pieces(documents: Iterable[Document]) -> list[str]:
    """The beginnings of documents, cut in pieces, up to `UNLABELLED_CHARS` in all."""
    pieces = (document.text[cut : cut + PIECE_CHARS] for document in documents for cut in range(0, 10_000, PIECE_CHARS))
    return list(islice((piece for piece in pieces if piece.strip()), UNLABELLED_CHARS // PIECE_CHARS))


def largest(known: LabelledText) -> Classify:
    """Always the commonest class, or the classes that most texts have."""
    share_K = known.has_NK.mean(0)
    majority_K = share_K > 0.5 if known.several else np.arange(len(share_K)) == share_K.argmax()
    return lambda text: majority_K


def bayes(known: LabelledText) -> Classify:
    """Naive Bayes of words or of runs of one to three characters, whichever predicts texts left out better."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.naive_bayes import MultinomialNB

    characters = CountVectorizer(analyzer="char", ngram_range=(1, 3), lowercase=False)
    views = [characters, CountVectorizer(token_pattern=r"\w+|\W")]
    return known.best(views, MultinomialNB(fit_prior=known.several))


def lsa(known: LabelledText) -> Classify:
    """Logistic regression on the directions in which all known texts differ most, those without labels among them."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, Normalizer, StandardScaler

    directions = FunctionTransformer(known.semantics.transform)
    return known.best([make_pipeline(directions, scale) for scale in (Normalizer(), StandardScaler())], _regression())


def _tf_idf(**settings: Any) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), lowercase=False, sublinear_tf=True, **settings)


def _regression() -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=10.0, max_iter=1000)

"""Toxicity scorers: a small one that ships with a package, or any sequence classifier.

`profanity-check` (alt-profanity-check) is a bag of words: a linear support-vector machine over tf-idf of single words,
trained on tweets and Wikipedia comments. It knows insults, not hostility ("Jews control the media" passes), and only in
English: a sentence of which it knows too few words gets no score, rather than the score of the one German article that
is spelt like an English verb.

`transformers:<folder or hub id>@<revision>` is any sequence classifier in safetensors; see `ToxicityClassifier`.
"""

import hashlib
import importlib.util
import io
import re
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from components.core.errors import UserError

Floats = NDArray[np.float64]


class Scorer(Protocol):
    """Probability of toxicity per sentence."""

    def score(self, sentences: Sequence[str]) -> Floats:
        """One probability per sentence, NaN where the scorer does not know the language well enough to say."""


def scorer(name: str) -> Scorer:
    """The scorer that `bias.scorer` names.

    Args:
        name: `profanity-check` or `transformers:<folder or hub id>@<revision>[#<label>]`.

    Raises:
        UserError: an unknown name, or a model that is missing, altered or of another kind.
    """
    if name == "profanity-check":
        return ProfanityCheck()
    if name.startswith("transformers:"):
        return ToxicityClassifier(name.removeprefix("transformers:"))
    raise UserError(
        f"bias.scorer = {name!r}: unknown scorer; use `profanity-check` or `transformers:<folder or hub id>@<revision>`"
    )


PICKLES = {
    "vectorizer.joblib": "19c5200dc6a41f026e0558e2f164f5fe8d8f58e502b46b37e4385037fcfa4831",
    "model.joblib": "aeafc04849d4d93db4721cf30a86ebf22085595294b8a07d51918e7fa98f538b",
}
"""sha256 of the two pickled files inside alt-profanity-check 1.9.1: nothing else is ever unpickled."""


class ProfanityCheck:
    """alt-profanity-check: the same probabilities as its `predict_prob`, and NaN where it knows too few of the words.

    The package is not imported: doing so would unpickle its files before anyone had looked at them.
    """

    def __init__(self, min_known_words: float = 0.5) -> None:
        vectorizer, self._model = (_unpickled(name) for name in PICKLES)
        self._min_known_words = min_known_words
        self._words = re.compile(vectorizer.token_pattern)
        self._idf: Floats = vectorizer.idf_
        stop_words = dict.fromkeys(vectorizer.get_stop_words(), -1)
        self._columns: dict[str, int] = stop_words | vectorizer.vocabulary_

    def score(self, sentences: Sequence[str]) -> Floats:
        """See `Scorer`."""
        words = [self._words.findall(sentence.lower()) for sentence in sentences]
        lengths = np.fromiter(map(len, words), np.int64, len(words))
        columns = np.array([self._columns.get(word, -2) for word in chain.from_iterable(words)], dtype=np.int64)
        rows = np.repeat(np.arange(len(words)), lengths)
        scores: Floats = (
            self._model.predict_proba(self._tfidf(rows, columns, len(words)))[:, 1] if words else np.empty(0)
        )
        num_known = np.bincount(rows[columns > -2], minlength=len(words))
        scores[(num_known < self._min_known_words * lengths) | (lengths == 0)] = np.nan
        return scores

    def _tfidf(self, rows: NDArray[np.int64], columns: NDArray[np.int64], num_rows: int) -> Any:
        """Rows of tf-idf scaled to length 1, as scikit-learn's TfidfVectorizer makes them."""
        from scipy.sparse import csr_matrix
        from sklearn.preprocessing import normalize

        inside = columns >= 0
        ones = np.ones(int(inside.sum()))
        counts = csr_matrix((ones, (rows[inside], columns[inside])), shape=(num_rows, len(self._idf)))
        counts.data *= self._idf[counts.indices]
        return normalize(counts, norm="l2", copy=False)


def _unpickled(name: str) -> Any:
    """An object from inside alt-profanity-check, if its file is the one we know."""
    spec = importlib.util.find_spec("profanity_check")
    if spec is None or spec.origin is None:
        raise UserError("bias.scorer = profanity-check: alt-profanity-check is not installed; run `make setup`")
    content = (Path(spec.origin).parent / "data" / name).read_bytes()
    if (digest := hashlib.sha256(content).hexdigest()) != PICKLES[name]:
        raise UserError(
            f"profanity_check/data/{name}: sha256 {digest[:12]}..., not the {PICKLES[name][:12]}... of alt-profanity-"
            "check 1.9.1, so this pickle is not opened; install the pinned version (constraints.txt)"
        )
    import joblib

    return joblib.load(io.BytesIO(content))


TOXIC_LABELS = ("toxic", "toxicity", "offensive", "hate", "abusive", "label_1")
"""Labels taken for toxicity, in this order, when `#<label>` names none."""


class ToxicityClassifier:
    """A sequence classifier in the layout of `transformers`: safetensors only, no code from the model's repository.

    Args:
        address: a local folder, or a hub id with `@` and the commit (40 hex digits); then `#<label>` to say which label
            means toxic. Its probability is the softmax over labels, or the sigmoid where labels are independent.
    """

    BATCH = 64
    MAX_TOKENS = 512

    def __init__(self, address: str) -> None:
        where, _, label = address.partition("#")
        source, options = _model_source(where)
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(source, trust_remote_code=False, **options)
            self._model: Any = AutoModelForSequenceClassification.from_pretrained(
                source, trust_remote_code=False, use_safetensors=True, dtype=torch.float32, **options
            ).eval()
        except (OSError, ValueError) as error:
            reason = str(error).strip().split("\n")[0]
            raise UserError(
                f"bias.scorer = transformers:{where}: cannot be loaded as a safetensors classifier ({reason})"
            ) from None
        self._label = self._index_of(label, where)

    def _index_of(self, wanted: str, where: str) -> int:
        labels = {str(name).lower(): index for index, name in self._model.config.id2label.items()}
        for name in [wanted.lower()] if wanted else TOXIC_LABELS:
            if name in labels:
                return int(labels[name])
        raise UserError(
            f"bias.scorer = transformers:{where}: no label {wanted or 'for toxicity'} among {', '.join(labels)}; "
            "name one with #<label> at the end"
        )

    def score(self, sentences: Sequence[str]) -> Floats:
        """See `Scorer`. Sentences of like length share a batch; one thread, so that sums do not depend on the cores."""
        import torch

        scores = np.empty(len(sentences))
        order = sorted(range(len(sentences)), key=lambda index: (len(sentences[index]), index))
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            for start in range(0, len(order), self.BATCH):
                batch = order[start : start + self.BATCH]
                scores[batch] = self._batch([sentences[index] for index in batch])
        finally:
            torch.set_num_threads(threads)
        return scores

    def _batch(self, sentences: list[str]) -> Floats:
        import torch

        limit = min(self.MAX_TOKENS, getattr(self._model.config, "max_position_embeddings", self.MAX_TOKENS))
        inputs = self._tokenizer(sentences, padding=True, truncation=True, max_length=limit, return_tensors="pt")
        with torch.inference_mode():
            logits = self._model(**inputs).logits.double()
        independent = logits.shape[1] == 1 or self._model.config.problem_type == "multi_label_classification"
        chances = torch.sigmoid(logits) if independent else torch.softmax(logits, dim=1)
        return chances[:, self._label].numpy()


def _model_source(where: str) -> tuple[str, dict[str, Any]]:
    """Name and options for `from_pretrained`: a folder as it is, without any look-up; a hub id at its commit."""
    name, _, revision = where.partition("@")
    folder = Path(where) if Path(where).is_dir() else Path(name)
    if folder.is_dir():
        return str(folder), {"local_files_only": True}
    if not re.fullmatch(r"[0-9a-f]{40}", revision):
        raise UserError(
            f"bias.scorer = transformers:{where}: no such folder, and a hub model needs its commit; "
            "write transformers:<owner/name>@<40 hex digits>"
        )
    return name, {"revision": revision}

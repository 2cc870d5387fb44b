"""The registry of rules: every row of scores is held against all of those that can be posed on its items.

A rule is fitted to the text that the model was trained on and predicts items of one form. A row that is better than
counting is better than each of them; so a rule that is added can only make such rows fewer.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

from components.counting import hidden, in_context, labels, written
from components.counting.training_text import TrainingText

Form = Literal["text", "hidden", "choice", "written", "label"]
Logp = Callable[[Sequence[int]], np.ndarray]
"""From ids to the natural log-probability of each after the first."""
PPMD_ORDER, PPMD_BYTES = 10, 256 << 20
"""Order of the compressor, and its memory."""
DOCUMENT_CACHE, DOCUMENT = "document cache", 8192
"""The rule that reads a whole document, and how many of its tokens at most: a cache of so many takes 300 MB."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that needs no neural network.

    Attributes:
        name: in the words of a table.
        form: of its items. `text`: a string, predicted are its bits; `hidden`: ids and which are hidden, predicted are
            the ids there; `choice`: a prompt and choices, predicted are scores of these; `written`: a prompt,
            predicted is what follows; `label`: a text, predicted is its class.
        fit: from the training text (of `label`: from texts with labels) to the prediction of an item.
        blind: whether it can't look at what is asked: its score is what is had without the ability.
        alone: whether an item is predicted by itself, and not with the items before it known.
    """

    name: str
    form: Form
    fit: Callable[[Any], Callable[[Any], Any]]
    blind: bool = False
    alone: bool = True


def _ngram(order: int) -> Callable[[TrainingText], Logp]:
    return lambda seen: seen.ngrams[order].logp


def _mixture(context: int) -> Callable[[TrainingText], Logp]:
    return lambda seen: partial(seen.mixture.logp, context=context)


READERS: dict[str, Callable[[TrainingText], Logp]] = {
    "unigrams": _ngram(1),
    "bigrams": _ngram(2),
    "trigrams": _ngram(3),
    "n-grams, cache": _mixture(0),
    DOCUMENT_CACHE: _mixture(DOCUMENT),  # as far back as ppmd may read
}
"""Name -> from the training text to the rule."""


def _bits(name: str) -> Callable[[TrainingText], Callable[[str], float]]:
    def fit(seen: TrainingText) -> Callable[[str], float]:
        logp = READERS[name](seen)
        return lambda text: float(-logp(seen.encode(text)).sum() / np.log(2))

    return fit


def _ppmd(seen: TrainingText) -> Callable[[str], float]:
    """PPMd (Shkarin 2002), which has read the training text and the items before: it goes on learning."""
    import pyppmd

    coder = pyppmd.Ppmd7Encoder(PPMD_ORDER, PPMD_BYTES)
    coder.encode(seen.text.encode())
    return lambda text: 8.0 * len(coder.encode(text.encode()))


RULES: tuple[Rule, ...] = (
    *(Rule(name, "text", _bits(name)) for name in READERS),
    Rule("ppmd", "text", _ppmd, alone=False),
    Rule("commonest token", "hidden", hidden.commonest, blind=True),
    Rule("two tokens before", "hidden", hidden.by_context(-2, -1)),
    Rule("both neighbours", "hidden", hidden.by_context(-1, 1)),
    Rule("two-sided cache", "hidden", hidden.two_sided),
    Rule("any choice", "choice", in_context.blind(lambda positions: 0.0), blind=True),
    Rule("first choice", "choice", in_context.blind(lambda positions: -min(positions, default=0)), blind=True),
    Rule("last choice", "choice", in_context.blind(lambda positions: max(positions, default=0)), blind=True),
    Rule("commonest choice", "choice", in_context.blind(len), blind=True),
    Rule("copy rule", "choice", in_context.copied),
    Rule("words alike", "choice", in_context.alike),
    Rule("usual answer", "written", written.usual, blind=True),
    Rule("digit by digit", "written", written.by_digit, blind=True),
    Rule("copy rule", "written", written.continued),
    Rule("character tree", "written", written.tree),
    Rule("largest class", "label", labels.largest, blind=True),
    Rule("naive Bayes", "label", labels.bayes),
    Rule("LSA and regression", "label", labels.lsa),
)
"""All rules, in the order of reports."""
BLIND = frozenset(rule.name for rule in RULES if rule.blind)


NAMES = {re.sub(r"\W+", "_", rule.name.lower()): rule.name for rule in RULES}
"""Key of a rule in metrics -> its name."""


def key_of(name: str) -> str:
    """The key of a rule's name."""
    return next(key for key, known in NAMES.items() if known == name)


def posed(form: Form, seen: Any, items: Iterable[Any], *, alone: bool = False, only: str = "") -> dict[str, list[Any]]:
    """Rule -> its prediction of every item.

    Args:
        alone: of rules that predict each item by itself alone. only: of one rule, by its name.
    """
    asked = list(items)
    rules = [rule for rule in RULES if rule.form == form and (rule.alone or not alone) and only in ("", rule.name)]
    return {rule.name: list(map(rule.fit(seen), asked)) for rule in rules}

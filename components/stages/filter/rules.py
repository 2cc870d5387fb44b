"""Rules: the score each limits, the texts it applies to, and the reason given for a document that breaks it.

Scores are made once (`quality`, `language`); any limits can be applied to them afterwards: those of
params.yaml, or the published sets below, whose limits are tuned for web pages and would drop most
of a technical corpus.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import ValidationError

from components.core.errors import UserError
from components.params import Filter, FilterRules
from components.params.filter import RuleSet
from components.text.language import SURE

Limits = dict[str, Any]
"""Limits by the field of `FilterRules`; a rule that is not named is off."""
Columns = dict[str, np.ndarray]
"""Scores by name, (num_documents,) each, `language` (str) among them."""
Minimum = tuple[str, int]
"""Name of a count and the lowest value from which a share of it says something: of one line, all or
nothing ends in an ellipsis, and a sentence may lack every stop word."""
PROSE: Minimum = ("num_words", 40)
LINES: Minimum = ("num_lines", 10)
REPEATED: Minimum = ("repeated_lines", 3)
PARAGRAPHS: Minimum = ("repeated_paragraphs", 3)
MOSTLY_UNSPACED = 0.5
"""Share of letters in scripts without spaces from which rules about words do not apply."""


@dataclass(frozen=True)
class FilterRule:
    """A rule: the field of `FilterRules` with its limit, the score it limits, and the texts it is meant for.

    Attributes:
        name: field of `FilterRules`.
        score: name of the score.
        minimum: the text has so much of what is counted, or the rule is not asked; every share has
            one.
        scope: "all"; "spaced": scripts that put spaces between words; "english": surely English.
    """

    name: str
    score: str
    minimum: Minimum = ("num_words", 0)
    scope: str = "all"


RULES = (
    FilterRule("min_words", "num_words"),
    FilterRule("max_words", "num_words"),
    FilterRule("mean_word_length", "mean_word_length", ("spaced_words", 12), "spaced"),
    FilterRule("max_symbol_word_ratio", "symbols_per_word", PROSE),
    FilterRule("max_bullet_lines", "bullet_lines", LINES),
    FilterRule("max_ellipsis_lines", "ellipsis_lines", LINES),
    FilterRule("min_alpha_words", "alpha_words", ("num_tokens", 20)),
    FilterRule("min_stop_words", "stop_words", ("num_words", 100), "english"),
    FilterRule("max_duplicate_lines", "duplicate_lines", REPEATED),
    FilterRule("max_duplicate_line_chars", "duplicate_line_chars", REPEATED),
    FilterRule("max_duplicate_paragraphs", "duplicate_paragraphs", PARAGRAPHS),
    FilterRule("max_duplicate_paragraph_chars", "duplicate_paragraph_chars", PARAGRAPHS),
    *(FilterRule(f"max_top_{n}gram", f"top_{n}gram", PROSE, "spaced") for n in (2, 3, 4)),
    *(FilterRule(f"max_duplicate_{n}gram", f"duplicate_{n}gram", PROSE, "spaced") for n in range(5, 10)),
    FilterRule("max_duplicate_10gram", "duplicate_10gram", PROSE),
    FilterRule("min_sentences", "sentences", scope="english"),
    FilterRule("max_lorem_ipsum", "lorem_ipsum"),
    FilterRule("max_curly_lines", "curly_lines"),
    FilterRule("min_punctuated_lines", "punctuated_lines", LINES, "english"),
    FilterRule("max_short_lines", "short_lines", LINES, "spaced"),
    FilterRule("max_repeated_line_chars", "repeated_line_chars", REPEATED),
    FilterRule("max_newlines_per_word", "newlines_per_word", LINES, "spaced"),
    FilterRule("max_boilerplate", "boilerplate"),
    FilterRule("max_mojibake", "mojibake"),
    FilterRule("min_language_score", "language_kept"),
)
"""All rules, in the order in which they are applied: the first one broken names the reason."""


GOPHER_QUALITY: Limits = {
    "min_words": 50,
    "max_words": 100_000,
    "mean_word_length": (3, 10),
    "max_symbol_word_ratio": 0.1,
    "max_bullet_lines": 0.9,
    "max_ellipsis_lines": 0.3,
    "min_alpha_words": 0.8,
    "min_stop_words": 2,
}
GOPHER_REPETITION: Limits = {
    "max_duplicate_lines": 0.3,
    "max_duplicate_line_chars": 0.2,
    "max_duplicate_paragraphs": 0.3,
    "max_duplicate_paragraph_chars": 0.2,
    "max_top_2gram": 0.2,
    "max_top_3gram": 0.18,
    "max_top_4gram": 0.16,
    **{f"max_duplicate_{n}gram": 0.2 - n / 100 for n in range(5, 11)},
}
C4: Limits = {"min_sentences": 5, "max_lorem_ipsum": 0, "max_curly_lines": 0}
FINEWEB: Limits = {
    "min_punctuated_lines": 0.12,
    "max_short_lines": 0.67,
    "max_repeated_line_chars": 0.01,
    "max_newlines_per_word": 0.3,
}
RULE_SETS: dict[RuleSet, Limits] = {
    "loose": {
        "min_words": 2,
        "max_words": 200_000,
        "mean_word_length": (2.0, 20.0),
        "max_symbol_word_ratio": 0.6,
        "max_ellipsis_lines": 0.5,
        "min_alpha_words": 0.2,
        "max_duplicate_lines": 0.6,
        "max_duplicate_10gram": 0.65,
        "max_boilerplate": 0.4,
        "max_mojibake": 0.01,
    },
    "gopher": GOPHER_QUALITY | GOPHER_REPETITION,
    "c4": C4,
    "fineweb": GOPHER_QUALITY | GOPHER_REPETITION | C4 | FINEWEB,
    "off": {},
}
"""The sets that `filter.rules` names. FineWeb (Penedo et al. 2024) applies Gopher's and C4's limits before its own."""


def limits_for(params: Filter, source: str) -> FilterRules:
    """The limits that hold for a source: those of the set, under `limits`, under the source's own.

    Raises:
        UserError: together they leave no text.
    """
    limits = RULE_SETS[params.rules] | params.limits | params.per_source.get(source, {})
    try:
        return FilterRules.model_validate(limits)
    except ValidationError as error:
        message = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise UserError(f"filter.rules {params.rules} with filter.limits and those of {source}: {message}") from None


def limits(rule: FilterRule, rules: FilterRules) -> tuple[float, float] | None:
    """Lowest and highest value allowed; None if the rule is off."""
    value = getattr(rules, rule.name)
    if value is None:
        return None
    if isinstance(value, tuple):
        return float(value[0]), float(value[1])
    return (float(value), np.inf) if rule.name.startswith("min_") else (-np.inf, float(value))


def breaks(rule: FilterRule, rules: FilterRules, columns: Columns) -> np.ndarray:
    """Which documents break the rule, (num_documents,) bool."""
    values = columns[rule.score]
    allowed = limits(rule, rules)
    if allowed is None:
        return np.zeros(len(values), dtype=bool)
    broken = (values < allowed[0]) | (values > allowed[1])
    count, minimum = rule.minimum
    return broken & (columns[count] >= minimum) & applies(rule.scope, columns)


def applies(scope: str, columns: Columns) -> np.ndarray:
    """Which documents rules of this scope are meant for, (num_documents,) bool."""
    spaced = columns["unspaced_letters"] < MOSTLY_UNSPACED
    if scope == "all":
        return np.ones(len(spaced), dtype=bool)
    if scope == "spaced":
        return spaced
    return spaced & (columns["language"] == "en") & (columns["language_score"] >= SURE)


def broken_rules(rules: FilterRules, columns: Columns) -> np.ndarray:
    """Which documents break which rule, (num_documents, num_rules) bool, rules in the order of RULES."""
    return np.stack([breaks(rule, rules, columns) for rule in RULES], axis=1)


def explain(rules: FilterRules, broken: np.ndarray, scores: dict[str, float]) -> tuple[str, str]:
    """The rule that drops a document, and the reason: value and limit of it, names of the others it breaks.

    Args:
        broken: (num_rules,) bool, at least one set.
        scores: the document's scores.
    """
    names = [rule for rule, is_broken in zip(RULES, broken, strict=True) if is_broken]
    allowed = limits(names[0], rules)
    assert allowed is not None
    value = scores[names[0].score]
    sign, limit = ("<", allowed[0]) if value < allowed[0] else (">", allowed[1])
    more = f"; also {', '.join(rule.name for rule in names[1:])}" if len(names) > 1 else ""
    return names[0].name, f"{names[0].score} {value:.4g} {sign} {limit:.4g}{more}"

"""`filter` in params.yaml: limits outside which text is dropped, personal data, evaluation sets."""

from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from components.params.section import Fraction, Section

Kind = Literal["email", "phone", "ip", "card", "iban", "secret"]
"""Kinds of personal data."""
Package = Literal["phonenumbers", "detect-secrets"]
"""Packages of the extra `pii`, which find more telephone numbers and keys."""


class FilterRules(Section):
    """Limits outside which a document is dropped; a rule without one is off."""

    min_words: int | None = Field(default=None, ge=0)
    """Fewest words."""
    max_words: int | None = Field(default=None, ge=1)
    """Most words."""
    mean_word_length: tuple[float, float] | None = None
    """Range of the mean word length in characters, in scripts with spaces between words."""
    max_symbol_word_ratio: float | None = None
    """Most `#`, or ellipses, per word (Gopher)."""
    max_bullet_lines: float | None = None
    """Largest share of lines that start with a bullet (Gopher)."""
    max_ellipsis_lines: float | None = None
    """Largest share of lines that end with an ellipsis (Gopher)."""
    min_alpha_words: float | None = None
    """Smallest share of words among words and numbers (Gopher)."""
    min_stop_words: int | None = None
    """Fewest of the/be/to/of/and/that/have/with (Gopher); only asked of English of 100 words or more."""
    max_duplicate_lines: float | None = None
    """Largest share of lines that repeat an earlier one (Gopher)."""
    max_duplicate_line_chars: float | None = None
    """Largest share of characters in lines that repeat an earlier one (Gopher)."""
    max_duplicate_paragraphs: float | None = None
    """Largest share of paragraphs that repeat an earlier one (Gopher)."""
    max_duplicate_paragraph_chars: float | None = None
    """Largest share of characters in paragraphs that repeat an earlier one (Gopher)."""
    max_top_2gram: float | None = None
    """Largest share of characters in the most frequent word pair (Gopher)."""
    max_top_3gram: float | None = None
    """Largest share of characters in the most frequent word triple (Gopher)."""
    max_top_4gram: float | None = None
    """Largest share of characters in the most frequent four words (Gopher)."""
    max_duplicate_5gram: float | None = None
    """Largest share of characters in repeated 5-grams (Gopher)."""
    max_duplicate_6gram: float | None = None
    """Largest share of characters in repeated 6-grams (Gopher)."""
    max_duplicate_7gram: float | None = None
    """Largest share of characters in repeated 7-grams (Gopher)."""
    max_duplicate_8gram: float | None = None
    """Largest share of characters in repeated 8-grams (Gopher)."""
    max_duplicate_9gram: float | None = None
    """Largest share of characters in repeated 9-grams (Gopher)."""
    max_duplicate_10gram: float | None = None
    """Largest share of characters in repeated 10-grams (Gopher)."""
    min_sentences: int | None = None
    """Fewest sentences in lines of three or more words that end like a sentence (C4)."""
    max_lorem_ipsum: int | None = None
    """Most occurrences of "lorem ipsum" (C4)."""
    max_curly_lines: int | None = None
    """Most lines, of those C4 looks at, with a curly bracket (C4)."""
    min_punctuated_lines: float | None = None
    """Smallest share of lines that end in punctuation (FineWeb)."""
    max_short_lines: float | None = None
    """Largest share of lines of 30 characters or fewer (FineWeb)."""
    max_repeated_line_chars: float | None = None
    """Largest share of characters in repeated lines, line breaks not counted (FineWeb)."""
    max_newlines_per_word: float | None = None
    """Most line breaks per word (FineWeb)."""
    max_boilerplate: float | None = None
    """Largest share of characters in cookie banners (13 languages), offers (8), menus or placeholder text."""
    max_mojibake: float | None = None
    """Largest share of characters that a wrong encoding made."""
    min_language_score: float | None = None
    """Smallest probability that the text is in one of `languages`."""

    @model_validator(mode="after")
    def _some_length_is_left(self) -> "FilterRules":
        if self.min_words is not None and self.max_words is not None and self.min_words > self.max_words:
            raise ValueError(
                f"min_words {self.min_words} is more than max_words {self.max_words}: no text would be left"
            )
        return self


class Decontaminate(Section):
    """Drop training documents that hold what the models are examined on (rule `contaminated`)."""

    ngram: int = Field(default=13, ge=8, le=50)
    """Words of a run that counts as shared; shorter items, of 8 words or more, are looked for whole."""
    max_share: Fraction = 0.3
    """A document goes if more than this share of its runs is held-out text; 1 keeps all. One item is always enough."""
    items: str = Field(default="eval_sets", min_length=1)
    """Folder of evaluation sets (jsonl, txt), besides the held-out set."""


RuleSet = Literal["loose", "gopher", "c4", "fineweb", "off"]
"""Names of the sets of limits in components/stages/filter/rules.py."""


class Filter(Section):
    """Score every document in one pass, then apply limits per source; redact personal data."""

    rules: RuleSet = "loose"
    """Limits for every source: loose, off, or the published ones of gopher, c4 or fineweb (which has all three)."""
    limits: dict[str, Any] = {}
    """Limits that differ from those of the set: {rule: value}; null switches the rule off."""
    per_source: dict[str, dict] = {}
    """Limits that differ for a source: {source: {rule: value}}."""
    languages: list[str] = []
    """ISO 639-1 codes to keep when the limit `min_language_score` is set; empty keeps all."""
    redact: list[Literal[Kind, Package]] = ["email", "phone", "ip", "card", "iban", "secret"]
    """Kinds of personal data replaced by `<KIND>`; `phonenumbers` and `detect-secrets` find more (extra `pii`)."""
    decontaminate: Decontaminate = Decontaminate()
    """What training text must not hold."""

    @model_validator(mode="after")
    def _limits_are_known(self) -> "Filter":
        sections: dict[tuple[str, ...], dict[str, Any]] = {("limits",): self.limits}
        sections |= {("per_source", source): self.limits | limits for source, limits in self.per_source.items()}
        for key, limits in sections.items():
            try:
                FilterRules.model_validate(limits)
            except ValidationError as error:  # pydantic would put its faults at `filter` itself
                errors: list[Any] = [{**one, "loc": (*key, *one["loc"])} for one in error.errors()]
                raise ValidationError.from_exception_data(key[-1], errors) from None
        return self

"""`filter` in params.yaml: limits outside which text is dropped, personal data, evaluation sets."""

from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from components.params.section import Advanced, Fraction, Section

Kind = Literal["email", "phone", "ip", "card", "iban", "secret"]
"""Kinds of personal data."""


class FilterRules(Section):
    """Limits outside which a document is dropped; null switches a rule off."""

    min_words: int | None = Field(default=5, ge=0)
    """Fewest words."""
    max_words: int | None = Field(default=200_000, ge=1)
    """Most words."""
    mean_word_length: tuple[float, float] | None = (2.5, 12.0)
    """Range of the mean word length in characters."""
    max_symbol_word_ratio: float | None = 0.3
    """Most `#`, or ellipses, per word (Gopher)."""
    max_bullet_lines: float | None = 0.95
    """Largest share of lines that start with a bullet (Gopher)."""
    max_ellipsis_lines: float | None = 0.5
    """Largest share of lines that end with an ellipsis (Gopher)."""
    min_alpha_words: float | None = 0.3
    """Smallest share of words with a letter (Gopher)."""
    min_stop_words: int | None = 1
    """Fewest of the/be/to/of/and/that/have/with (Gopher); English of 40 words or more only."""
    max_duplicate_lines: float | None = 0.6
    """Largest share of lines that repeat an earlier one (Gopher)."""
    max_duplicate_line_chars: Advanced[float | None] = None
    """Largest share of characters in lines that repeat an earlier one (Gopher)."""
    max_duplicate_paragraphs: Advanced[float | None] = None
    """Largest share of paragraphs that repeat an earlier one (Gopher)."""
    max_duplicate_paragraph_chars: Advanced[float | None] = None
    """Largest share of characters in paragraphs that repeat an earlier one (Gopher)."""
    max_top_2gram: float | None = 0.3
    """Largest share of characters in the most frequent word pair (Gopher)."""
    max_top_3gram: Advanced[float | None] = None
    """Largest share of characters in the most frequent word triple (Gopher)."""
    max_top_4gram: Advanced[float | None] = None
    """Largest share of characters in the most frequent four words (Gopher)."""
    max_duplicate_5gram: Advanced[float | None] = None
    """Largest share of characters in repeated 5-grams (Gopher)."""
    max_duplicate_6gram: Advanced[float | None] = None
    """Largest share of characters in repeated 6-grams (Gopher)."""
    max_duplicate_7gram: Advanced[float | None] = None
    """Largest share of characters in repeated 7-grams (Gopher)."""
    max_duplicate_8gram: Advanced[float | None] = None
    """Largest share of characters in repeated 8-grams (Gopher)."""
    max_duplicate_9gram: Advanced[float | None] = None
    """Largest share of characters in repeated 9-grams (Gopher)."""
    max_duplicate_10gram: float | None = 0.8
    """Largest share of characters in repeated 10-grams (Gopher)."""
    min_sentences: Advanced[int | None] = None
    """Fewest sentences in lines of three or more words that end like a sentence (C4)."""
    max_lorem_ipsum: Advanced[int | None] = None
    """Most occurrences of "lorem ipsum" (C4)."""
    max_curly_lines: Advanced[int | None] = None
    """Most lines, of those C4 looks at, with a curly bracket (C4)."""
    min_punctuated_lines: Advanced[float | None] = None
    """Smallest share of lines that end in punctuation (FineWeb)."""
    max_short_lines: Advanced[float | None] = None
    """Largest share of lines of 30 characters or fewer (FineWeb)."""
    max_repeated_line_chars: Advanced[float | None] = None
    """Largest share of characters in repeated lines, line breaks not counted (FineWeb)."""
    max_newlines_per_word: Advanced[float | None] = None
    """Most line breaks per word (FineWeb)."""
    max_boilerplate: Advanced[float | None] = 0.4
    """Largest share of characters in sentences of cookie banners and placeholder text."""
    max_mojibake: Advanced[float | None] = 0.01
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


class Filter(Section):
    """Score every document in one pass, then apply thresholds per source; redact personal data."""

    rules: FilterRules = FilterRules()
    """Limits for every source."""
    per_source: dict[str, dict] = {}
    """Limits that differ for a source: {source: {rule: value}}."""
    languages: list[str] = []
    """ISO 639-1 codes to keep when `min_language_score` is set; empty keeps all."""
    redact: list[Kind] = ["email", "phone", "ip", "card", "iban", "secret"]
    """Kinds of personal data replaced by `<KIND>`."""
    decontaminate: Decontaminate = Decontaminate()
    """What training text must not hold."""

    @model_validator(mode="after")
    def _per_source_makes_sense(self) -> "Filter":
        for source in self.per_source:
            try:
                self.rules_for(source)
            except ValidationError as error:  # pydantic would put its faults at `filter` itself
                faults: list[Any] = [{**one, "loc": ("per_source", source, *one["loc"])} for one in error.errors()]
                raise ValidationError.from_exception_data(source, faults) from None
        return self

    def rules_for(self, source: str) -> FilterRules:
        """The limits that hold for a source."""
        return FilterRules.model_validate(self.rules.model_dump() | self.per_source.get(source, {}))

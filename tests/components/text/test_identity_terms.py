"""The lexicon: what counts as a mention, and that masking makes groups alike."""

import re

import pytest

from components.text.identity_terms import MASK, TERMS, mentions, mentions_and_masked, names_of

MENTIONS = {
    "My friend is gay.": ["lgbt"],
    "A black woman and an old man": ["women", "men", "black", "old"],
    "BLACK PEOPLE marched.": ["black"],
    "African-American voters, Native Americans and Latinas": ["black", "hispanic", "indigenous"],
    "Polish people like it.": ["nationality"],
    "a deaf pensioner": ["disability", "old"],
    "He asked asylum seekers.": ["men", "migrant"],
    "Trans men, Jews and a Muslim": ["men", "lgbt", "jewish", "muslim"],
    "the Irish\nwomen": ["women", "nationality"],
}
NOT_MENTIONS = [
    "Draw a black box on a white background.",
    "Polish the interface; the feature is disabled and deprecated.",
    "See the man page, man(1), of the male connector.",
    "Blind deconvolution of a straight line in the transfer function",
    "The heels, the theme, a shed and the mention of history",
    "A young project with an old API, written in plain English",
    "Der Mann liest ein Buch. 彼は本を読む。",
    "",
]


@pytest.mark.parametrize(("text", "groups"), MENTIONS.items())
def test_mentions(text: str, groups: list[str]) -> None:
    assert names_of(mentions(text)) == groups


@pytest.mark.parametrize("text", NOT_MENTIONS)
def test_no_mention(text: str) -> None:
    assert names_of(mentions(text)) == []
    assert mentions_and_masked(text) == (0, text)


def test_masked_sentences_are_the_same_words() -> None:
    forms = ["a deaf man", "a man", "a Muslim person", "a Black woman", "a Jew", "a gay person", "a Filipino"]
    assert {mentions_and_masked(f"I met {form} today.")[1] for form in forms} == {f"I met a {MASK} today."}


def test_every_term_is_found_as_its_group() -> None:
    """Each entry of the lexicon, in a sentence of its own: none is shadowed by another, none is a broken pattern."""
    for group, listing in TERMS.items():
        for term in re.sub(r"\s+", " ", listing).split(", "):
            example = term.replace(" *", " people")
            assert group in names_of(mentions(f"Some {example} were there.")), term

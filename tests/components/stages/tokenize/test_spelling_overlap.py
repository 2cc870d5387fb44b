"""Overlap in other spellings: folding against plain Python, and a quotation that only folding finds."""

import re

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from components.similarity.ngram_overlap import words
from components.stages.tokenize.spelling_overlap import Overlaps, fold
from tests.components.real_text import modules
from tests.components.similarity.test_ngram_overlap import plain_ngrams, plain_words

FOLIO = "And giue vs leaue to loue the olde sonne, whose ioys doe runne so farre vpon the seae of yron time"
MODERN = "and give us leave to love the old son whose joys do run so far upon the sea of iron time"


def plain_fold(word: str) -> str:
    """The documented folding of one word, lower-cased in ASCII."""
    word = word.translate(str.maketrans("vjy", "uii"))
    word = re.sub("([a-z])\\1+", "\\1", word)
    return word[:-1] if re.search("[\x00-\x7f]e$", word) else word


@settings(max_examples=300)
@given(
    st.lists(
        st.text(st.sampled_from("abeevjyiu .-\n漢é’1E") | st.characters(exclude_categories=["Cs"]), max_size=60),
        min_size=1,
        max_size=5,
    )
)
def test_folded_words_are_the_plain_ones(texts: list[str]) -> None:
    found = words(texts, fold)
    plain = [plain_fold(word) for text in texts for word in plain_words(text)]
    assert np.bincount(found.document, minlength=len(texts)).tolist() == [len(plain_words(text)) for text in texts]
    pairs = set(zip(plain, found.hashes.tolist(), strict=True))
    assert len(pairs) == len(set(plain)) == len(set(found.hashes.tolist()))


def measured(heldout: list[str], *training: list[str]) -> Overlaps:
    overlaps = Overlaps()
    assert overlaps.hold_out(heldout).tolist() == [len(plain_words(text)) for text in heldout]
    for shard in training:
        overlaps.see(shard, threads=2)
    return overlaps


def test_an_old_spelling_is_found_by_folding_only() -> None:
    heldout = ["Nothing of this kind is said anywhere else, as far as anybody knows or cares to remember it.", MODERN]
    found = measured(heldout, ["some other text"], [f"He said: {FOLIO}!"]).measured(iter(heldout))
    assert found.repeated.tolist() == [0, 0]
    assert found.folded.tolist() == [0, len(plain_ngrams(MODERN))]
    assert found.example == " ".join(MODERN.split()[:13])
    assert found.example_document == 1


def test_word_for_word_counts_in_both_and_is_no_example() -> None:
    heldout = ["", MODERN]
    found = measured(heldout, [MODERN.upper()]).measured(iter(heldout))
    assert found.repeated.tolist() == found.folded.tolist() == [0, len(plain_ngrams(MODERN))]
    assert found.example == ""


def test_the_example_is_the_first_run_that_differs() -> None:
    same = "one day there were thirteen words that nobody had ever put in this order before"
    heldout = [f"{same}. {MODERN}"]
    found = measured(heldout, [f"{same}! {FOLIO}"]).measured(iter(heldout))
    assert 0 < found.repeated[0] < found.folded[0] == len(plain_ngrams(heldout[0]))
    assert plain_words(found.example) == plain_words(heldout[0])[4:17]


def test_real_text_against_sets_of_strings() -> None:
    texts = [each.text for each in modules("scipy", 60)]
    heldout, training = texts[::3], [text for at, text in enumerate(texts) if at % 3]
    old = heldout[0].replace("u", "v").replace("i", "y")
    found = measured(heldout, training[:20], [*training[20:], old]).measured(iter(heldout))

    def folded(text: str) -> list[tuple[str, ...]]:
        return [tuple(map(plain_fold, gram)) for gram in plain_ngrams(text)]

    seen = {gram for text in [*training, old] for gram in folded(text)}
    assert found.folded.tolist() == [sum(gram in seen for gram in folded(text)) for text in heldout]
    assert (found.repeated <= found.folded).all()
    assert found.folded[0] == found.total[0] > found.repeated[0]
    assert found.example_document == 0


def test_nothing_held_out_is_long_enough() -> None:
    found = measured(["a b c", ""], ["a b c"]).measured(iter(["a b c", ""]))
    assert (found.total.sum(), found.folded.sum(), found.example) == (0, 0, "")

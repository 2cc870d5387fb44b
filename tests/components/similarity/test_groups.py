"""Groups of similar short texts."""

from components.similarity.groups import similar_groups
from tests.components.task_corpora import GERMAN

WORDS = GERMAN.split()


def test_what_texts_of_one_form_fill_in_decides() -> None:
    """Every row of a template shares most of its words with every other, and is no copy of it."""
    form = "Translate the following English sentence to French, keep its tone and do not add anything else:"
    other = "Say in one word whether the review that stands here is kind, and if you are not sure then say so:"
    words = [f"{word}{number}" for number, word in enumerate(WORDS[:40])]
    for texts in ([f"{form} {word}" for word in words], [f"{form} {word}" if number % 2 else f"{other} {word} it is"
                  for number, word in enumerate(words)]):  # fmt: skip
        assert len(set(similar_groups(texts).tolist())) == 40
    long = [f"{form} {' '.join(f'{word}{number}' for word in WORDS[:20])}" for number in range(40)]
    found = similar_groups([*long, *(f"{text} please" for text in long), form, form]).tolist()
    assert found[:40] == found[40:80]
    assert found[80] == found[81]
    assert len(set(found)) == 41


def test_copies_that_are_few_are_no_form() -> None:
    others = [" ".join(f"{word}{number}" for word in WORDS[:30]) for number in range(40)]
    for copies in (10, 12):  # 12 of 52 are less than a quarter
        assert len(set(similar_groups([*others, *(f"{' '.join(WORDS)} {n}" for n in range(copies))]).tolist())) == 41
    assert len(set(similar_groups([f"{' '.join(WORDS)} {n}" for n in range(10)]).tolist())) == 1

"""Groups of similar short texts."""

from components.similarity.groups import similar_groups
from tests.components.task_corpora import GERMAN

WORDS = GERMAN.split()


def test_near_copies_share_a_group_and_others_do_not() -> None:
    texts = [" ".join(f"{word}{number}" for word in WORDS[:30]) for number in range(50)]
    near = [f"{text} indeed" for text in texts]
    found = similar_groups([*texts, *near, "", "", "ab", "AB!"]).tolist()
    assert found[:50] == found[50:100]
    assert len(set(found[:50])) == 50
    assert found[-2] == found[-1]
    assert len({*found}) == 53  # texts without words are like none


def test_what_is_like_a_like_text_is_in_the_group() -> None:
    chain = [" ".join(WORDS[start : start + 40]) for start in range(0, 12, 2)]
    assert len(set(similar_groups(chain).tolist())) == 1
    assert len(set(similar_groups([chain[0], chain[-1]]).tolist())) == 2

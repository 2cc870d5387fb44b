"""The probe: its phrases are what it says, and it finds the gap that masking closes."""

from components.stages.bias.template_probe import PHRASES, UNLISTED, UNLISTED_PHRASES, gap, probe, rows
from components.stages.bias.toxicity import ProfanityCheck
from components.text.identity_terms import GROUPS, mentions, names_of


def test_phrases_are_of_their_groups() -> None:
    assert tuple(PHRASES) == GROUPS
    for group, phrases in PHRASES.items():
        assert len(set(phrases)) == 4
        for phrase in phrases:
            assert group in names_of(mentions(phrase))
            assert group in names_of(mentions(phrase.capitalize() if phrase.islower() else phrase))


def test_every_group_gets_the_same_sentences() -> None:
    assert not any(map(mentions, UNLISTED_PHRASES))
    counts = {group: sum(row[0] == group for row in rows()) for group in PHRASES}
    assert len(set(counts.values())) == 1
    assert len({sentence for _, _, sentence in rows()}) == len(rows())


def test_masking_closes_the_gap() -> None:
    scorer = ProfanityCheck()
    plain, masked = (probe(scorer, 0.5, mask) for mask in (False, True))
    assert gap(plain) > 0.15
    assert max(plain, key=lambda each: each.false_positive_rate).group == "lgbt"
    assert gap(masked) <= 0.05
    assert {each.false_positive_rate for each in masked if each.group != UNLISTED} == {masked[0].false_positive_rate}

"""Words as spaCy 3.8 splits them: these expectations were made with it (`spacy.blank("en")`)."""

import pytest

from components.stages.filter.spacy_rules import split

EXPECTED = {
    "don't": "do n't",
    "won’t": "wo n’t",
    "cannot": "can not",
    "id": "i d",
    "(id)": "( i d )",
    "trace-id": "trace - id",
    "it's": "it 's",
    "its": "its",
    "e.g.": "e.g.",
    "(e.g.,": "( e.g. ,",
    "U.S.": "U.S.",
    "end.": "end .",
    "NASA.": "NASA .",
    "A.": "A.",
    "wait...": "wait ...",
    "a...b": "a ... b",
    "f(x):": "f(x ):",
    "numpy.array(x)": "numpy.array(x )",
    "numpy.linalg": "numpy.linalg",
    "lower.Upper": "lower . Upper",
    "state-of-the-art": "state - of - the - art",
    "1-2": "1 - 2",
    "-1": "-1",
    "+1": "+1",
    "+x": "+ x",
    "x=y": "x = y",
    "a/b": "a / b",
    "10km": "10 km",
    "5%": "5 %",
    "$5": "$ 5",
    "7am": "7 am",
    "https://example.org/a?b=c": "https://example.org/a?b=c",
    "``code``": "` ` code ` `",
    "[1],": "[ 1 ] ,",
    ":)": ":)",
    '"quoted,"': '" quoted , "',
    "naïve—or": "naïve — or",
    "—": "—",
    "#tag": "# tag",
    "snake_case_": "snake_case _",
    "**kwargs": "* * kwargs",
}


@pytest.mark.parametrize("stretch", EXPECTED)
def test_as_spacy_does(stretch: str) -> None:
    assert " ".join(split(stretch)) == EXPECTED[stretch]


@pytest.mark.parametrize("stretch", ["a" * 100_000, "a." * 50_000, "x@" * 1500, "(" * 1900, "-" * 1900, "a:b" * 600])
def test_long_stretches_do_not_take_for_ever_and_nothing_is_lost(stretch: str) -> None:
    assert "".join(split(stretch)) == stretch

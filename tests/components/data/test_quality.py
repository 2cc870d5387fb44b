"""Scores from arrays, against the rules written in plain Python."""

import re
import unicodedata
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from real_text import modules

from components.data.quality import STOP_WORDS, scores

ODD_TEXTS = [
    "",
    "\n\n\n",
    "...",
    "• one\n• two\n- three\nfour...\nfive…",
    "the the the the the of OF Of",
    "a b c d e f g h i j k l a b c d e f g h i j k l a b c d e f g h i j k l",
    "same line\nsame line\n\nsame line\n\nother\nsame line",
    "Lorem Ipsum dolor sit amet. { x }\nThis line has words. And two sentences here! Has it?\nUses cookies and such.",
    "大規模な言語モデル。\nТекст на русском языке, с пробелами.\nnaïve café #1 ##",
    "word " * 300,
    "A line, that ends well.\n" * 9,
    " indented\n\ttabbed \n trailing   \n",
]


def plain_is_word(character: str) -> bool:
    """A letter, digit, underscore or combining mark."""
    return character.isalnum() or character == "_" or unicodedata.category(character)[0] == "M"


def plain_tokens(text: str) -> list[str]:
    """Words, and runs of one other character."""
    tokens: list[str] = []
    previous = ("", False)
    for character in text:
        is_word = plain_is_word(character)
        unspaced = is_word and (0x2E80 <= ord(character) <= 0x312F or 0x31A0 <= ord(character) <= 0x9FFF)
        kind = "unspaced" if unspaced else "word" if is_word else "" if character.isspace() else character
        if kind and kind == previous[0] and kind != "unspaced" and previous[1]:
            tokens[-1] += character
        elif kind:
            tokens.append(character)
        previous = (kind, bool(kind))
    return tokens


def plain_scores(text: str) -> dict[str, float]:
    """The documented definitions, one by one."""
    tokens = plain_tokens(text)
    words = [token for token in tokens if plain_is_word(token[0])]
    lines = text.split("\n")
    full = [line for line in lines if line.strip()]
    stripped = [line.strip() for line in full]
    repeated = [line for at, line in enumerate(full) if line in full[:at]]
    dots = sum(len(run) // 3 for run in re.findall(r"\.+", text)) + text.count("…")
    result: dict[str, float] = {
        "num_chars": len(text),
        "num_words": len(words),
        "num_tokens": len(tokens),
        "mean_word_length": ratio(sum(map(len, words)), len(words)),
        "alpha_words": ratio(sum(any(c.isalpha() for c in token) for token in tokens), len(tokens)),
        "symbols_per_word": ratio(max(text.count("#"), dots), len(tokens)),
        "stop_words": sum(any(form in words for form in (w, w.capitalize(), w.upper())) for w in STOP_WORDS),
        "bullet_lines": ratio(sum(line[0] in "•-*‣▪●–" for line in stripped), len(full)),
        "ellipsis_lines": ratio(sum(line.endswith(("...", "…")) for line in stripped), len(full)),
        "duplicate_lines": ratio(len(repeated), len(full)),
        "duplicate_line_chars": ratio(sum(map(len, repeated)), len(text)),
        "punctuated_lines": ratio(sum(line.endswith((".", "?", "!", '"', "'")) for line in stripped), len(full)),
        "short_lines": ratio(sum(len(line) <= 30 for line in full), len(full)),
        "repeated_line_chars": ratio(sum(map(len, repeated)), len(text.replace("\n", ""))),
        "newlines_per_word": ratio(text.count("\n"), len(tokens)),
        "lorem_ipsum": text.lower().count("lorem ipsum"),
    }
    for n in (2, 3, 4):
        grams = Counter(" ".join(tokens[at : at + n]) for at in range(len(tokens) - n + 1))
        top, count = grams.most_common(1)[0] if grams else ("", 0)
        result[f"top_{n}gram"] = ratio(len(top) * count, len(text)) if count > 1 else 0.0
    for n in range(5, 11):
        seen, chars, free = set[str](), 0, 0
        for at in range(len(tokens) - n + 1):
            gram = " ".join(tokens[at : at + n])
            if gram in seen and at >= free:
                chars, free = chars + len(gram), at + n
            seen.add(gram)
        result[f"duplicate_{n}gram"] = ratio(chars, len(text))
    return result


def ratio(part: float, whole: float) -> float:
    """part / whole, 0 for 0 / 0."""
    return part / whole if whole else 0.0


def compare(texts: list[str]) -> None:
    """All texts at once against each alone."""
    found = scores(texts)
    for at, text in enumerate(texts):
        for name, value in plain_scores(text).items():
            assert found[name][at] == pytest.approx(value, abs=1e-12), (name, text[:200])


def test_odd_texts() -> None:
    compare(ODD_TEXTS)


def test_real_texts() -> None:
    compare([document.text for document in modules()[:60]])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.sampled_from("ab.#\n é…漢-"), max_size=60), min_size=1, max_size=5))
def test_any_texts(texts: list[str]) -> None:
    compare(texts)


def test_a_document_scores_the_same_in_any_company() -> None:
    texts = [document.text for document in modules()[:30]]
    together, reversed_ = scores(texts), scores(texts[::-1])
    for name, values in together.items():
        assert np.array_equal(values, reversed_[name][::-1]), name


def test_c4_looks_only_at_lines_that_read_like_text() -> None:
    text = "This is a sentence. And another one!\nheading { x }\nToo short.\nIt uses cookies, see.\nA line with { in."
    found = scores([text, "Prose without brackets, but no end"])
    assert found["sentences"].tolist() == [3, 0]
    assert found["curly_lines"].tolist() == [1, 0]


def test_scripts_without_spaces_are_seen() -> None:
    found = scores(["漢字かな交じり文", "Latin letters", "ภาษาไทย"])
    assert found["unspaced_letters"].tolist() == [1.0, 0.0, 1.0]

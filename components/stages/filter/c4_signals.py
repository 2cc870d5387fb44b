"""Scores for C4's rules: sentences in lines of prose, lines with "lorem ipsum", lines with a curly bracket.

A line counts if none of its words is longer than 1,000 characters, it ends like a sentence, has
three words, and says nothing of JavaScript or cookie policies. Marks of citations are taken out of
it first. A document that has "lorem ipsum" or a curly bracket in such a line is no prose (a bracket
counts where no JavaScript is, as in the reference).
"""

import re
from dataclasses import dataclass

import numpy as np

from components.stages.filter.lines import Lines, ends_in_ellipsis, find_lines, is_any, occurrences
from components.stages.filter.words import WordCounts, find_words
from components.text.codepoints import SPACE, TERMINAL, UNSPACED, WORD, Hasher, Scan, scan

LINE_ENDS = ".?!\"'"
POLICIES = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")
MIN_LINE_WORDS, MAX_WORD_CHARS = 3, 1000
CITATION = re.compile(r"\[\d*]|\[edit]|\[citation needed]")


@dataclass
class LineFacts:
    """Properties of lines that C4's rules use; arrays of (num_lines,), bool but for the number of sentences."""

    ends_well: np.ndarray
    lorem: np.ndarray
    javascript: np.ndarray
    curly: np.ndarray
    policy: np.ndarray
    sentences: np.ndarray


def c4_scores(scanned: Scan, lines: Lines, words: WordCounts, count: int) -> dict[str, np.ndarray]:
    """Sentences, and lines with "lorem ipsum" and with a curly bracket, per text; see `quality.scores`."""
    starts, ends = _stretches(scanned)
    long = starts[ends - starts > MAX_WORD_CHARS]
    candidate = (lines.within(starts) >= MIN_LINE_WORDS) & (lines.within(long) == 0)
    facts = _facts(scanned, lines, words)
    _without_citations(scanned, lines, candidate, facts)
    text = candidate & facts.ends_well
    prose = text & ~facts.javascript

    def total(selected: np.ndarray) -> np.ndarray:
        return np.bincount(lines.document[selected], minlength=count)

    kept = prose & ~facts.policy
    sentences = np.bincount(lines.document[kept], weights=facts.sentences[kept], minlength=count)
    return {
        "sentences": sentences.astype(np.int64),
        "curly_lines": total(prose & facts.curly),
        "lorem_ipsum": total(text & facts.lorem),
    }


def _facts(scanned: Scan, lines: Lines, words: WordCounts) -> LineFacts:
    text = lowered(scanned.text)

    def has(*phrases: str) -> np.ndarray:
        hits = np.zeros(len(lines.starts), dtype=bool)
        starts = np.array(sorted(start for phrase in phrases for start in occurrences(text, phrase)), dtype=np.int64)
        hits[np.searchsorted(lines.ends, starts)] = True
        return hits

    ends_well = lines.full & is_any(scanned.codes, lines.last, LINE_ENDS) & ~ends_in_ellipsis(scanned.codes, lines)
    return LineFacts(
        ends_well, has("lorem ipsum"), has("javascript"), has("{"), has(*POLICIES), _sentences(scanned, lines, words)
    )


def _stretches(scanned: Scan) -> tuple[np.ndarray, np.ndarray]:
    """Starts and ends of all runs of characters that are no white space: C4's words."""
    space = np.concatenate([[True], (scanned.kinds & SPACE) != 0])  # the last is: a newline follows each text
    changes = np.flatnonzero(space[1:] != space[:-1])
    return changes[0::2], changes[1::2]


def _sentences(scanned: Scan, lines: Lines, words: WordCounts) -> np.ndarray:
    """Sentences per line: one, and one more where a word follows a mark that ends sentences.

    A mark inside a word ends none: 3.14, numpy.array. Example, one line: `Yes. No!! Then`. The
    words Yes, No and Then have 0, 1 and 3 marks before them: No and Then have more than the word
    before, so each begins a sentence.
    """
    kinds = scanned.kinds
    continues = (kinds & WORD != 0) & (kinds & UNSPACED == 0)
    marks = np.flatnonzero((kinds[:-1] & TERMINAL != 0) & ~continues[1:])
    before = np.searchsorted(marks, words.starts)
    # The first word of a line is compared with the start of the line, the others with the word
    # before.
    line = np.searchsorted(lines.ends, words.starts, side="right")
    is_first = np.diff(line, prepend=-1) > 0
    previous = np.where(is_first, np.searchsorted(marks, lines.starts)[line], np.append(-1, before[:-1]))
    return 1 + np.bincount(line[before > previous], minlength=len(lines.starts))


def _without_citations(scanned: Scan, lines: Lines, candidate: np.ndarray, facts: LineFacts) -> None:
    """Replace the facts of lines with citation marks (`[1]`, `[edit]`) by those of the lines without the marks."""
    # Cheap first: a bracket followed by a digit, `]`, `e`, `c`, or anything outside ASCII (`\\d`
    # matches other digits).
    codes = scanned.codes
    opening = np.flatnonzero(codes == ord("["))
    after = codes[opening + 1]
    maybe = opening[
        ((after >= 0x30) & (after <= 0x39)) | np.isin(after, [ord("]"), ord("e"), ord("c")]) | (after > 0x7F)
    ]
    numbers, cleaned = [], []
    for number in np.flatnonzero(candidate & (lines.within(maybe) > 0)).tolist():
        line = scanned.text[lines.first[number] : lines.last[number] + 1]
        without = CITATION.sub("", line)
        if without != line:
            numbers.append(number)
            cleaned.append(without)
    if not numbers:
        return
    again = scan(cleaned)
    cleaned_lines = find_lines(again)
    # White space at the end of a line stays, so the last character may be white space here.
    cleaned_lines.last = np.maximum(cleaned_lines.last, cleaned_lines.ends - 1)
    better = _facts(again, cleaned_lines, find_words(again, Hasher(again.codes)))
    for name, values in vars(facts).items():
        values[numbers] = getattr(better, name)


def lowered(text: str) -> str:
    """The text in lower case; only its ASCII if other letters would change its length."""
    lower = text.lower()
    return lower if len(lower) == len(text) else text.translate(_ASCII_LOWER)


_ASCII_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}

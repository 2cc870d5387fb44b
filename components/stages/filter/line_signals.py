"""Scores of lines and paragraphs: Gopher's repetition of lines, FineWeb's shapes of lines."""

import numpy as np

from components.stages.filter.array_counts import repeats, share, within
from components.stages.filter.c4_signals import c4_scores
from components.stages.filter.lines import Lines, ends_in_ellipsis, find_lines, is_any
from components.stages.filter.words import WordCounts
from components.text.codepoints import TERMINAL, Hasher, Scan

SHORT_LINE_CHARS = 30
"""FineWeb: lines of this length or less are short."""
BULLETS = "•-"
"""Characters that begin a bulleted line."""


def line_scores(scanned: Scan, hasher: Hasher, words: WordCounts, num_chars: np.ndarray) -> dict[str, np.ndarray]:
    """All scores that look at lines or paragraphs; see `quality.scores`."""
    lines = find_lines(scanned)
    newlines = _per_document(lines.document, len(num_chars)) - 1
    return (
        {"num_lines": _per_document(lines.document[lines.full], len(num_chars))}
        | _bullets_and_ellipses(scanned, lines, len(num_chars))
        | _repetition(scanned, hasher, lines, words, num_chars)
        | _shapes(scanned, hasher, lines, num_chars, newlines)
        | {"newlines_per_word": share(newlines, words.counts)}
        | c4_scores(scanned, lines, words, len(num_chars))
    )


def _bullets_and_ellipses(scanned: Scan, lines: Lines, count: int) -> dict[str, np.ndarray]:
    """Gopher's quality rules look at all lines, blank ones too, but for what follows a last newline."""
    document = lines.document
    # What follows a text's last newline is a line of its own for `find_lines`; it counts only if it
    # is not empty.
    counted = ~((lines.ends == scanned.bounds[1:][document] - 1) & (lines.ends == lines.starts))
    total = _per_document(document[counted], count)
    bullet = lines.full & is_any(scanned.codes, lines.first, BULLETS)
    ellipsis = lines.full & ends_in_ellipsis(scanned.codes, lines)
    return {
        "bullet_lines": share(_per_document(document[bullet], count), total),
        "ellipsis_lines": share(_per_document(document[ellipsis], count), total),
    }


def _repetition(
    scanned: Scan, hasher: Hasher, lines: Lines, words: WordCounts, num_chars: np.ndarray
) -> dict[str, np.ndarray]:
    """Gopher: the text cut at runs of newlines (which leaves an empty piece where it begins or ends with one).

    A line without a word repeats nothing: brackets, rulers, and edges of a drawing are no text.
    """
    count = len(num_chars)
    full = lines.ends > lines.starts  # lines with characters, be they white space
    begins_empty = scanned.codes[scanned.bounds[:-1]] == 0x0A
    ends_empty = (scanned.codes[scanned.bounds[1:] - 2] == 0x0A) & (num_chars > 0)
    pieces = _per_document(lines.document[full], count) + (begins_empty & (num_chars > 0)) + ends_empty
    worded = lines.within(words.starts) > 0
    again, chars = _repeated(hasher, lines.starts[worded], lines.ends[worded], lines.document[worded], count)
    starts, ends, document = _paragraphs(scanned, lines, full)
    paragraphs_again, paragraph_chars = _repeated(hasher, starts, ends, document, count)
    return {
        "repeated_lines": again,
        "repeated_paragraphs": paragraphs_again,
        "duplicate_lines": share(again, pieces),
        "duplicate_line_chars": share(chars, num_chars),
        "duplicate_paragraphs": share(paragraphs_again, _per_document(document, count)),
        "duplicate_paragraph_chars": share(paragraph_chars, num_chars),
    }


def _paragraphs(scanned: Scan, lines: Lines, full: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Starts, ends and texts of all runs of lines with characters; the text's outer white space is no part of them."""
    # A run begins at a line with characters after one without, or in another text; and ends the
    # same way.
    new_text = np.diff(lines.document) > 0
    begins = np.flatnonzero(full & np.concatenate([[True], ~full[:-1] | new_text]))
    ends = np.flatnonzero(full & np.concatenate([~full[1:] | new_text, [True]]))
    document = lines.document[begins]
    # first[t], last[t]: where the text t, stripped, begins and ends. Lines come in order, so its
    # first line that is not blank has the first, its last one (that before the next text's first)
    # has the last; -1 in a blank text.
    inked = lines.full
    first, last = np.full((2, len(scanned.bounds) - 1), -1, dtype=np.int64)
    inked_document, first_inked = np.unique(lines.document[inked], return_index=True)
    first[inked_document] = lines.first[inked][first_inked]
    last[inked_document] = lines.last[inked][np.append(first_inked[1:], inked.sum()) - 1] if len(first_inked) else 0
    starts = np.maximum(lines.starts[begins], first[document])
    stops = np.minimum(lines.ends[ends], last[document] + 1)
    inside = starts < stops
    return starts[inside], stops[inside], document[inside]


def _shapes(
    scanned: Scan, hasher: Hasher, lines: Lines, num_chars: np.ndarray, newlines: np.ndarray
) -> dict[str, np.ndarray]:
    """FineWeb looks at lines that are not blank, as they are."""
    count, full = len(num_chars), lines.full
    document = lines.document[full]
    starts, ends = lines.starts[full], lines.ends[full]
    total = _per_document(document, count)
    ends_well = (scanned.kinds[ends - 1] & TERMINAL) != 0
    short = ends - starts <= SHORT_LINE_CHARS
    _, chars = _repeated(hasher, starts, ends, document, count)
    return {
        "punctuated_lines": share(_per_document(document[ends_well], count), total),
        "short_lines": share(_per_document(document[short], count), total),
        "repeated_line_chars": share(chars, num_chars - newlines),
    }


def _per_document(document: np.ndarray, count: int) -> np.ndarray:
    return np.bincount(document, minlength=count)


def _repeated(
    hasher: Hasher, starts: np.ndarray, ends: np.ndarray, document: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Per text: how many of its stretches repeat an earlier one of it, and their characters."""
    _, is_first, _ = repeats(within(hasher(starts, ends), document))
    later = ~is_first
    chars = np.bincount(document[later], weights=(ends - starts)[later], minlength=count)
    return _per_document(document[later], count), chars.astype(np.int64)

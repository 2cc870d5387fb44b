"""Text of strangers as text: control characters, which a terminal obeys and a page hides, are written out."""

import re

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""C0 and C1 but tab and newline, separators of lines, marks that turn the direction of text, lone surrogates."""


def plain(text: str) -> str:
    r"""`text` with each control character as Python writes it: `\x1b`."""
    return text if text.isascii() and text.isprintable() else _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


def plain_name(text: str) -> str:
    """The same of a name, which has one line."""
    return plain(text).replace("\n", "\\n").replace("\t", "\\t")

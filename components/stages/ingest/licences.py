"""Licences: SPDX expressions of what people write, and the policy on which may be trained on.

SPDX expressions are parsed by the `license-expression` package. What it does not know by name (classifiers, "Apache 2.0
License", whole licence texts in a METADATA field) is looked up in a short list; what that does not resolve stays
NOASSERTION, and the policy says what to do with it.
"""

import functools
import re
from typing import Any

from components.core.errors import UserError
from components.params import LicencePolicy

UNKNOWN = "NOASSERTION"
"""SPDX's word for "nobody said"."""

ALIASES = {
    name: spdx
    for spdx, names in {
        "Apache-2.0": "apache | apache 2 | apache 2.0 | apache 2.0 license | apache license 2.0 | "
        "apache license version 2.0 | apache software license | apache software license 2.0",
        "MIT": "mit license | the mit license",
        "ISC": "isc license | isc license (iscl)",
        "BSD-3-Clause": "new bsd | new bsd license | modified bsd license | 3-clause bsd license | "
        "bsd 3-clause license | bsd 3-clause",
        "BSD-2-Clause": "simplified bsd license | 2-clause bsd license",
        "MPL-2.0": "mozilla public license 2.0 (mpl 2.0) | mozilla public license 2.0",
        "PSF-2.0": "python software foundation license",
        "Unlicense": "the unlicense (unlicense)",
        "CC0-1.0": "cc0 | cc0 1.0 | cc0 1.0 universal | cc0 1.0 universal (cc0 1.0) public domain dedication",
        "GPL-2.0-only": "gnu general public license v2 (gplv2)",
        "GPL-3.0-only": "gnu general public license v3 (gplv3)",
        "GPL-3.0-or-later": "gnu general public license v3 or later (gplv3+)",
    }.items()
    for name in names.split(" | ")
}
"""Common spellings that are no SPDX, in lower case. "BSD" is not among them: it does not say how many clauses."""


CREATIVE_COMMONS = re.compile(r"(cc[ -]by(?:[ -](?:nc|nd|sa))*[ -]\d\.\d)(?: international| unported)?", re.IGNORECASE)
"""Creative Commons' own spellings, such as "CC BY-SA 4.0": their SPDX id but for the spaces. A port to the law of a
country, or no version, is another licence or unclear, and does not match."""


@functools.cache
def _spdx() -> Any:
    from license_expression import get_spdx_licensing  # 0.1 s, and the default corpus never needs it

    return get_spdx_licensing()


@functools.lru_cache(maxsize=4096)
def normalise(text: str) -> str:
    """`text` as an SPDX expression in its usual spelling, or NOASSERTION.

    Args:
        text: an SPDX expression, a common name, a trove classifier, or a whole BSD or MIT licence.
    """
    name = " ".join(text.split(" :: ")[-1].replace(",", " ").split())
    if not name or name.lower() in ("noassertion", "unknown", "none", "other", "osi approved"):
        return UNKNOWN
    if name.lower() in ALIASES:
        return ALIASES[name.lower()]
    if creative_commons := CREATIVE_COMMONS.fullmatch(name):
        name = creative_commons[1].replace(" ", "-")
    if len(name) > 300:
        return licence_of_text(name)
    try:
        parsed = _spdx().parse(name, validate=True, strict=True)
    except Exception:  # the library raises its own errors, and some of its parser's for odd characters
        return UNKNOWN
    return str(parsed.render())


def licence_of_text(text: str) -> str:
    """The SPDX id of a licence given in full, for the short ones that are told apart by a clause."""
    flat = " ".join(text.split())
    if "Redistribution and use in source and binary forms" in flat:
        return "BSD-3-Clause" if re.search(r"endorse or promote", flat) else "BSD-2-Clause"
    if "Permission is hereby granted, free of charge, to any person obtaining a copy" in flat:
        return "MIT"
    return "Apache-2.0" if re.search(r"Apache License,? Version 2\.0", flat[:600], re.IGNORECASE) else UNKNOWN


def stated_licence(text: str) -> tuple[str, str]:
    """SPDX expression of a record's licence, and where that was read (with the original, if it is not SPDX)."""
    spdx = normalise(text)
    return spdx, "record field" if spdx != UNKNOWN else f"record field, not SPDX: {text[:60]!r}"


def licence_param(text: str, key: str) -> str:
    """SPDX of a licence written in params.yaml.

    Raises:
        UserError: it is no SPDX expression.
    """
    spdx = normalise(text)
    if spdx == UNKNOWN and text != UNKNOWN:
        raise UserError(f"params: {key} = {text!r} is no SPDX licence; see https://spdx.org/licenses, or use {UNKNOWN}")
    return spdx


class Policy:
    """Which licences may be trained on.

    `A OR B` may be used if either may, `A AND B` if both may, `A WITH E` if `A` or the whole may. NOASSERTION follows
    `unknown`. A denied licence is refused even if it is also allowed.

    Raises:
        UserError: a licence of the policy is no SPDX id.
    """

    def __init__(self, params: LicencePolicy) -> None:
        self.allow = {licence_param(name, "ingest.licences.allow") for name in params.allow}
        self.deny = {licence_param(name, "ingest.licences.deny") for name in params.deny}
        self.unknown = params.unknown
        self.refusal = functools.cache(self._refusal)

    def in_words(self) -> str:
        """The policy as a sentence of the report."""
        allowed = f"only {', '.join(sorted(self.allow))} allowed" if self.allow else "every known licence allowed"
        denied = f"{', '.join(sorted(self.deny))} denied" if self.deny else "none denied"
        return f"{allowed}, {denied}, unknown (NOASSERTION): {self.unknown}"

    def _refusal(self, licence: str) -> str:
        """Why a document under `licence` may not be used; empty if it may."""
        if licence == UNKNOWN:
            return "no licence is stated, and ingest.licences.unknown is `drop`" if self.unknown == "drop" else ""
        if not (self.allow or self.deny) or self._permits(parsed := _spdx().parse(licence)):
            return ""
        denied = any(_names(one) & self.deny for one in parsed.get_literals())
        return f"{licence} is {'denied' if denied else 'not among the allowed'} by ingest.licences"

    def _permits(self, node: Any) -> bool:
        operator = type(node).__name__
        if operator in ("OR", "AND"):
            return (any if operator == "OR" else all)(self._permits(arg) for arg in node.args)
        names = _names(node)
        return not names & self.deny and (not self.allow or bool(names & self.allow))


def _names(node: Any) -> set[str]:
    """One licence as it is written, and without its exception."""
    return {node.render()} | {symbol.key for symbol in _spdx().license_symbols(node)[:1]}

"""Licences: from what people write to SPDX, and which may be trained on.

SPDX expressions are parsed by the `license-expression` package. What it does not know by name (classifiers, "Apache 2.0
License", whole licence texts in a METADATA field) is looked up in a short list; what that does not settle stays
NOASSERTION, which is honest, and a policy says what to do with it.
"""

import functools
import re
from typing import Any

from components.core.errors import UserError
from components.params import LicencePolicy

UNKNOWN = "NOASSERTION"
"""SPDX's word for "nobody said"."""

ALIASES = {
    "apache": "Apache-2.0",
    "apache 2": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache 2.0 license": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license version 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "apache software license 2.0": "Apache-2.0",
    "mit license": "MIT",
    "the mit license": "MIT",
    "isc license": "ISC",
    "isc license (iscl)": "ISC",
    "new bsd": "BSD-3-Clause",
    "new bsd license": "BSD-3-Clause",
    "modified bsd license": "BSD-3-Clause",
    "3-clause bsd license": "BSD-3-Clause",
    "bsd 3-clause license": "BSD-3-Clause",
    "bsd 3-clause": "BSD-3-Clause",
    "simplified bsd license": "BSD-2-Clause",
    "2-clause bsd license": "BSD-2-Clause",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "mozilla public license 2.0": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
    "the unlicense (unlicense)": "Unlicense",
    "cc0": "CC0-1.0",
    "cc0 1.0 universal (cc0 1.0) public domain dedication": "CC0-1.0",
    "gnu general public license v2 (gplv2)": "GPL-2.0-only",
    "gnu general public license v3 (gplv3)": "GPL-3.0-only",
    "gnu general public license v3 or later (gplv3+)": "GPL-3.0-or-later",
}
"""Common spellings that are no SPDX, in lower case. "BSD" is not among them: it does not say how many clauses."""


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
    """SPDX of what a record says of its licence, and where that was read (with the wording, if it is not SPDX)."""
    found = normalise(text)
    return found, "record field" if found != UNKNOWN else f"record field, not SPDX: {text[:60]!r}"


def licence_param(text: str, key: str) -> str:
    """SPDX of a licence written in params.yaml.

    Raises:
        UserError: it is no SPDX expression.
    """
    found = normalise(text)
    if found == UNKNOWN and text != UNKNOWN:
        raise UserError(f"params: {key} = {text!r} is no SPDX licence; see https://spdx.org/licenses, or use {UNKNOWN}")
    return found


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
        self._known: dict[str, str] = {}

    def in_words(self) -> str:
        """The policy as a sentence of the report."""
        allowed = f"only {', '.join(sorted(self.allow))} allowed" if self.allow else "every known licence allowed"
        denied = f"{', '.join(sorted(self.deny))} denied" if self.deny else "none denied"
        return f"{allowed}, {denied}, unknown (NOASSERTION): {self.unknown}"

    def refusal(self, licence: str) -> str:
        """Why a document under `licence` may not be used; empty if it may."""
        if licence not in self._known:
            self._known[licence] = self._judge(licence)
        return self._known[licence]

    def _judge(self, licence: str) -> str:
        if licence == UNKNOWN:
            return "no licence is stated, and ingest.licences.unknown is `drop`" if self.unknown == "drop" else ""
        if not self.allow and not self.deny:
            return ""
        if self._permits(_spdx().parse(licence)):
            return ""
        return f"{licence} is " + ("denied" if self.deny else "not among the allowed") + " by ingest.licences"

    def _permits(self, node: Any) -> bool:
        operator = type(node).__name__
        if operator in ("OR", "AND"):
            return (any if operator == "OR" else all)(self._permits(arg) for arg in node.args)
        names = {node.render()} | {symbol.key for symbol in _spdx().license_symbols(node)[:1]}
        return not names & self.deny and (not self.allow or bool(names & self.allow))

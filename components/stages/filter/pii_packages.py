"""Personal data that packages find, where `filter.redact` names them: phonenumbers and detect-secrets (extra `pii`).

Google's phonenumbers knows the numbers of every country, and reads national ones as the country of the text's language
writes them; detect-secrets knows keys by the form that their issuer gave them. Both see a number without a word nearby.
"""

import re
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.util import find_spec

from components.core.errors import UserError
from components.stages.filter.pii_numbers import WORDS, PersonalDataSpan

PACKAGES = ("phonenumbers", "detect-secrets")
"""Names in `filter.redact`."""


def check_packages(redact: Iterable[str]) -> None:
    """Raise `UserError` for a package that is named and not installed."""
    for name in sorted({*PACKAGES} & {*redact}):
        if not find_spec(name.replace("-", "_")):
            raise UserError(f"filter.redact: {name} needs the extra `pii`: pip install -c constraints.txt -e '.[pii]'")


def find_with_phonenumbers(text: str, language: str = "") -> Iterator[PersonalDataSpan]:
    """Valid numbers: international ones, and those of the country where the language is spoken most."""
    import phonenumbers

    for match in phonenumbers.PhoneNumberMatcher(
        text, WORDS["regions"].get(language), phonenumbers.Leniency.STRICT_GROUPING
    ):
        yield PersonalDataSpan(match.start, match.end, "phone")


def find_with_detect_secrets(text: str) -> Iterator[PersonalDataSpan]:
    """Keys in a form of their issuer; what is only random, or called a password, is left to ours."""
    for form in _forms():
        yield from (PersonalDataSpan(*hit.span(hit.lastindex or 0), "secret") for hit in form.finditer(text))


@cache
def _forms() -> list[re.Pattern[str]]:
    from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
    from detect_secrets.plugins.base import RegexBasedDetector

    plugins: list[type] = list(get_mapping_from_secret_type_to_class().values())
    kinds = [kind for kind in plugins if issubclass(kind, RegexBasedDetector)]
    unused = {"IPPublicDetector", "BasicAuthDetector", "PrivateKeyDetector"}  # no key, or any word; its first line
    return [form for kind in kinds if kind.__name__ not in unused for form in kind().denylist]

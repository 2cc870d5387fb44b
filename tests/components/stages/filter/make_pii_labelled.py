"""Make the labelled set on which the detectors of personal data are measured.

Positives are made by `faker` (keys and secrets, which it does not have, by the published form of each kind) and set in
sentences people write. Hard negatives are real lines: documentation of installed packages that looks like personal data
and is none (decorators, matrix products, floats, version numbers, hashes, dates, loopback addresses). The result,
`pii_labelled.jsonl`, is committed, and was so before the detectors were written; it changes only with a reason.
"""

import ast
import json
import random
import re
import string
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

from faker import Faker

HERE = Path(__file__).parent
PER_KIND = 100
NUM_NEGATIVES = 600
LOCALES = ["en_US", "en_GB", "de_DE", "fr_FR", "es_ES", "it_IT", "nl_NL"]
PACKAGES = ["numpy", "scipy", "sklearn", "pandas", "networkx", "sympy", "matplotlib", "sqlalchemy", "mlflow", "prefect"]

TEMPLATES = {
    "email": ["Write to {} for details.", "Maintainer: {name} <{}>", "{}", "contact={}, page 3", "mailto:{}", "({})"],
    "phone": [
        "Call {} after six.",
        "Tel.: {}",
        "My phone number is {}.",
        "You can reach {name} at {}.",
        "{name}, {}",
        "mobile {} (evenings)",
    ],
    "ip": ["The request came from {}.", "host {} port 22", "{} - - GET /index.html", "ping {}", "server={}", "[{}]"],
    "card": ["Card number {}", "paid with {} on Monday", "{}", "card: {}, exp 09/27", "My credit card is {}.", "CC {}"],
    "iban": ["IBAN {}", "Please transfer it to {}.", "{}", "account {} at the bank", "IBAN: {}, BIC unknown", "({})"],
    "secret": ["export KEY={}", "token: {}", "Authorization: Bearer {}", "{}", 'client("{}")', "use {} for now"],
}

NEGATIVE_LOOKS = {
    "decorator": r"^\s*@\w+",
    "matrix product": r"\w @ \w",
    "version": r"\b\d+\.\d+\.\d+(\.\d+)?\b",
    "long float": r"\d\.\d{8,}",
    "long integer": r"(?<![\d.])\d{9,19}(?![\d.])",
    "date": r"\b\d{4}-\d\d-\d\d\b",
    "numbers in a row": r"\d+[ -]\d+[ -]\d+[ -]\d+",
    "hash": r"\b[0-9a-f]{12,64}\b",
    "reference": r"\b(doi|arXiv|ISBN|ISSN)\b.*\d",
    "address of nobody": r"\b(127|10|192|0)\.\d+\.\d+\.\d+\b",
    "scope": r"\w::\w",
    "setting": r"(?i)\b(password|token|secret|key)\s*[=:]",
    "time": r"\d\d:\d\d:\d\d",
    "brackets and digits": r"\(\d{3}\)|\d{3}-\d{3,4}",
}
REALLY_PERSONAL = re.compile(r"[\w.]@\w[\w-]*\.\w|\[at\]|\+\d{2} ?\d{2}")


def secrets(chance: random.Random) -> str:
    """A made-up key in the published form of one of the common kinds."""

    def some(alphabet: str, length: int) -> str:
        return "".join(chance.choice(alphabet) for _ in range(length))

    alnum, upper = string.ascii_letters + string.digits, string.ascii_uppercase + string.digits
    forms: list[Callable[[], str]] = [
        lambda: "AKIA" + some(upper, 16),
        lambda: chance.choice(["ghp_", "gho_", "ghs_"]) + some(alnum, 36),
        lambda: "github_pat_" + some(alnum, 22) + "_" + some(alnum, 59),
        lambda: "sk_live_" + some(alnum, 24),
        lambda: "xoxb-" + some(string.digits, 12) + "-" + some(string.digits, 12) + "-" + some(alnum, 24),
        lambda: "AIza" + some(alnum + "-_", 35),
        lambda: "hf_" + some(string.ascii_letters, 34),
        lambda: "sk-proj-" + some(alnum, 48),
        lambda: "glpat-" + some(alnum, 20),
        lambda: "eyJ" + some(alnum, 33) + ".eyJ" + some(alnum, 60) + "." + some(alnum + "-_", 43),
        lambda: 'password = "' + some(alnum + "!$%&/", 16) + '"',
        lambda: "api_key=" + some(string.hexdigits.lower(), 32),
        lambda: "-----BEGIN PRIVATE KEY-----\n" + some(alnum + "+/", 64) + "\n-----END PRIVATE KEY-----",
    ]
    return chance.choice(forms)()


def grouped(digits: str, chance: random.Random) -> str:
    """A card or account number as people write it: as it is, or in groups of four."""
    mark = chance.choice(["", " ", "-"])
    return mark.join(digits[at : at + 4] for at in range(0, len(digits), 4))


def positives() -> Iterator[dict]:
    """`PER_KIND` sentences of each kind, with the value in them."""
    chance = random.Random(20)
    Faker.seed(20)
    fakes = [Faker(locale) for locale in LOCALES]
    makers: dict[str, Callable[[Faker], str]] = {
        "email": lambda fake: chance.choice([fake.email, fake.company_email, fake.free_email])(),
        "phone": lambda fake: fake.phone_number(),
        "ip": lambda fake: fake.ipv4_public() if chance.random() < 0.7 else fake.ipv6(),
        "card": lambda fake: grouped(fake.credit_card_number(), chance),
        "iban": lambda fake: fake.iban() if chance.random() < 0.5 else grouped(fake.iban(), chance).replace("-", " "),
        "secret": lambda fake: secrets(chance),
    }
    for kind, maker in makers.items():
        for number in range(PER_KIND):
            fake = fakes[number % len(fakes)]
            value = maker(fake)
            template = TEMPLATES[kind][number % len(TEMPLATES[kind])]
            yield {"kind": kind, "value": value, "text": template.format(value, name=fake.name())}


def documentation() -> Iterator[str]:
    """Lines of the docstrings of installed packages."""
    site = Path(sysconfig.get_paths()["purelib"])
    for package in PACKAGES:
        for path in sorted((site / package).rglob("*.py")):
            try:
                tree = ast.parse(path.read_text(encoding="utf-8"))
            except (SyntaxError, UnicodeDecodeError):
                continue
            for node in ast.walk(tree):
                if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                    yield from (ast.get_docstring(node) or "").splitlines()


def negatives() -> Iterator[dict]:
    """Real lines that look like personal data, as many of each look as there are, up to an even share."""
    found: dict[str, set[str]] = {look: set() for look in NEGATIVE_LOOKS}
    for line in documentation():
        if 8 <= len(line) <= 200 and not REALLY_PERSONAL.search(line):
            for look, pattern in NEGATIVE_LOOKS.items():
                if re.search(pattern, line):
                    found[look].add(line)
    chance = random.Random(20)
    share = -(-NUM_NEGATIVES // len(found))
    for look, lines in found.items():
        for line in sorted(chance.sample(sorted(lines), min(share, len(lines)))):
            yield {"kind": "", "value": "", "text": line, "look": look}


if __name__ == "__main__":
    with open(HERE / "pii_labelled.jsonl", "w", encoding="utf-8") as file:
        for case in [*positives(), *negatives()]:
            file.write(json.dumps(case, ensure_ascii=False, sort_keys=True) + "\n")

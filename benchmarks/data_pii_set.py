"""Labelled personal data that no detector was written with: values by `faker`, random keys, and what looks like both.

Positives: `PER_KIND` values of each kind, in sentences of many languages: e-mail under any top-level domain, in other
scripts, telephone numbers as 24 countries write them, public addresses, cards, accounts of 30 countries in four
spellings, keys and passwords in 16 forms. Negatives: hashes of git, versions, ISBN and ISSN (valid ones), identifiers,
dates, measures, private addresses, checksums of lock files, settings without a value. All are drawn from a seed.
"""

import base64
import hashlib
import random
import string
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import distributions

from faker import Faker

PER_KIND, PER_NEGATIVE = 300, 50
SEED = 20261126
ALNUM = string.ascii_letters + string.digits
LOCALES = (  # noqa: SIM905 - a table reads better as one text
    "en_US en_GB en_CA en_AU en_IN de_DE de_AT de_CH fr_FR fr_CH es_ES es_MX it_IT nl_NL nl_BE pt_PT pt_BR "
    "pl_PL cs_CZ sk_SK sv_SE no_NO da_DK fi_FI hu_HU ro_RO tr_TR hr_HR sl_SI ja_JP zh_CN ko_KR"
).split()
CALLS = {
    "en": "Phone: {}|Call {} today|Mobile {}|fax {}|You can reach me at {}",
    "de": "Tel. {}|Handy: {}|Telefon {}|Rufnummer {}",
    "fr": "Tél. : {}|Portable {}|Téléphone {}",
    "es": "Móvil: {}|Teléfono {}|Llame al {}",
    "it": "Cellulare {}|Cell. {}|Telefono: {}",
    "nl": "Telefoon {}|Mobiel: {}|Bel {}",
    "pt": "Telemóvel {}|Celular: {}|Telefone {}",
    "pl": "Telefon: {}|Kom. {}|tel. {}",
    "sv": "Tfn {}|Mobil: {}|Telefon {}",
    "no": "Tlf. {}|Mobil {}",
    "da": "Tlf: {}|Mobil {}",
    "fi": "Puh. {}|Puhelin: {}",
    "cs": "Telefon {}|Mobil: {}",
    "hu": "Telefon: {}|Mobil {}",
    "tr": "Telefon: {}|Cep {}",
    "ja": "電話: {}|携帯 {}|TEL {}",
    "zh": "手机: {}|电话 {}|電話：{}",
    "ko": "전화: {}|휴대폰 {}",
}
SENTENCES = {
    "email": "Write to {} for details.|{} schrieb am Montag|contact={}, page 3|mailto:{}|<{}>|Mail: {}.",
    "ip": "The request came from {}.|host {} port 22|{} - - GET /index.html|ping {}|server={}|[{}] closed",
    "card": "Card number {}|bezahlt mit {} am Montag|{}|card: {}, exp 09/29|Carte {}.|CC {}",
    "iban": "IBAN {}|Bitte auf {} überweisen.|{}|compte {} à la banque|IBAN: {}, BIC unknown|({})",
}


@dataclass(frozen=True)
class Case:
    """A text; the value in it and its kind, both "" for a negative."""

    text: str
    kind: str = ""
    value: str = ""


def some(chance: random.Random, alphabet: str, length: int) -> str:
    """A random string."""
    return "".join(chance.choice(alphabet) for _ in range(length))


def positives(seed: int = SEED) -> Iterator[Case]:
    """`PER_KIND` cases of each kind."""
    chance = random.Random(seed)
    Faker.seed(seed)
    fakes = [Faker(locale) for locale in LOCALES]
    for number in range(PER_KIND):
        fake, locale = fakes[number % len(fakes)], LOCALES[number % len(LOCALES)]
        yield _case(chance, "email", email(fake, chance), SENTENCES["email"])
        yield _case(chance, "phone", fake.phone_number(), CALLS.get(locale[:2], CALLS["en"]))
        yield _case(chance, "ip", fake.ipv4_public() if number % 3 else fake.ipv6(), SENTENCES["ip"])
        yield _case(
            chance, "card", grouped(fake.credit_card_number(), chance.choice(["", " ", "-"])), SENTENCES["card"]
        )
        yield _case(chance, "iban", account(fake, chance), SENTENCES["iban"])
        value, text = secret(chance, number)
        yield Case(text, "secret", value)


def _case(chance: random.Random, kind: str, value: str, templates: str) -> Case:
    return Case(chance.choice(templates.split("|")).format(value), kind, value)


def email(fake: Faker, chance: random.Random) -> str:
    """An address: by faker, under a random top-level domain, or with a domain in another script."""
    name = (
        fake.email()
        if chance.random() < 0.4
        else f"{chance.choice(NAMES)}@{chance.choice(HOSTS)}.{chance.choice(TOPS)}"
    )
    return name if chance.random() < 0.9 else f"{chance.choice(NAMES)}@{chance.choice(IDN)}"


NAMES = (  # noqa: SIM905 - a table reads better as one text
    "anna.lee j_smith o'brien mueller+news x93 info maria.garcia-lopez K.Ito office.berlin r2d2"
).split()
HOSTS = ["kanzlei-weber", "north-wind", "acme", "mail.lab7", "cs.uni-kl", "a1", "blumen-und-mehr", "sub.domain.shop2"]
TOPS = (  # noqa: SIM905 - a table reads better as one text
    "gmbh ventures berlin photography museum travel xn--p1ai co.uk com.br ac.jp paris bank ngo swiss "
    "technology aero plumbing com org net de fr io ai dev nl se ch"
).split()
IDN = (  # noqa: SIM905 - a table reads better as one text
    "müller.de bücher.ch пример.рф 例子.公司 café-noir.fr españa.es žlutý.cz blåbær.no παράδειγμα.ελ 한국.kr"
).split()


def grouped(value: str, mark: str) -> str:
    """In groups of four."""
    return mark.join(value[at : at + 4] for at in range(0, len(value), 4))


def account(fake: Faker, chance: random.Random) -> str:
    """An IBAN as people write it: in one piece, in groups with spaces or hyphens, in small letters."""
    value = fake.iban()
    while value.startswith("GB") and len(value) != 22:  # what faker falls back to is too short to be one
        value = Faker(chance.choice(["de_DE", "fr_FR", "es_ES", "pl_PL", "nl_NL"])).iban()
    return chance.choice([value, grouped(value, " "), grouped(value, "-"), value.lower(), grouped(value.lower(), " ")])


def _mixed(chance: random.Random, alphabet: str, length: int) -> str:
    """A random string with a digit and a letter in it, as rules for passwords ask."""
    value = some(chance, alphabet, length)
    return (
        value
        if any(c.isdigit() for c in value) and any(c.isalpha() for c in value)
        else _mixed(chance, alphabet, length)
    )


def secret(chance: random.Random, number: int) -> tuple[str, str]:
    """A key or password, and a text with it."""
    b64, hexa, upper = ALNUM + "+/", "0123456789abcdef", string.ascii_uppercase + string.digits
    forms: list[Callable[[], tuple[str, str]]] = [
        lambda: (value := some(chance, b64, 40), f"aws_secret_access_key = {value}"),
        lambda: (value := some(chance, b64, 40), f'"SecretAccessKey": "{value}",'),
        lambda: (value := _mixed(chance, ALNUM, 32), f"api_key={value}"),
        lambda: (value := some(chance, hexa, 32), f"X-Api-Key: {value}"),
        lambda: (value := some(chance, hexa, 64), f'SECRET_KEY = "{value}"'),
        lambda: (value := _mixed(chance, ALNUM, 64), f"client_secret: {value}"),
        lambda: (value := _mixed(chance, ALNUM + "!$%&*#=^~", 16), f"password={value}"),
        lambda: (value := _mixed(chance, ALNUM, 14), f"DB_PASSWORD: '{value}'"),
        lambda: (value := _mixed(chance, ALNUM + "-._~", 43), f"Authorization: Bearer {value}"),
        lambda: (
            value := base64.b64encode(chance.randbytes(64)).decode(),
            f"AccountName=logs;AccountKey={value};EndpointSuffix=core.windows.net",
        ),
        lambda: (value := _mixed(chance, ALNUM, 18), f"postgres://app:{value}@db.internal:5432/app"),
        lambda: (value := "npm_" + some(chance, ALNUM, 36), f"//registry.npmjs.org/:_authToken={value}"),
        lambda: (value := "SG." + some(chance, ALNUM, 22) + "." + some(chance, ALNUM, 43), f"sendgrid({value!r})"),
        lambda: (value := some(chance, string.digits, 9) + ":AA" + some(chance, ALNUM, 33), f"bot token {value}"),
        lambda: (value := "ASIA" + some(chance, upper, 16), f"AWS_ACCESS_KEY_ID={value}"),
        lambda: (value := "ghp_" + some(chance, ALNUM, 36), f"git clone https://{value}@github.com/a/b"),
    ]
    return forms[number % len(forms)]()


def negatives(seed: int = SEED) -> Iterator[Case]:
    """`PER_NEGATIVE` texts of each sort that hold no personal data and look as if."""
    chance, fake = random.Random(seed), Faker()
    Faker.seed(seed)
    versions = sorted({distribution.version for distribution in distributions()})

    def digest(kind: str) -> str:
        return hashlib.new(kind, chance.randbytes(16)).hexdigest()

    def numbers(*most: int) -> str:
        return ".".join(str(chance.randrange(limit)) for limit in most)

    makers: list[Callable[[], str]] = [
        lambda: f"commit {digest('sha1')}",
        lambda: f"{digest('sha1')[:8]}..{digest('sha1')[:8]} main -> origin/main",
        lambda: f"sha256:{digest('sha256')}  data/train/part-00001.parquet",
        lambda: f'"integrity": "sha512-{base64.b64encode(chance.randbytes(64)).decode()}"',
        lambda: f"md5 = {digest('md5')}",
        lambda: f"pip install package=={chance.choice(versions)}",
        lambda: f"Qt {numbers(7, 20, 12, 300)} fixes a crash",
        lambda: f"Chrome/{numbers(140, 1, 7000, 200)} Safari/537.36",
        lambda: f"driver {numbers(560, 130, 20)}, firmware {numbers(40, 90, 200, 90)}",
        lambda: f"ISBN {fake.isbn13()}",
        lambda: f"ISBN-10: {fake.isbn10()}",
        lambda: f"ISSN {chance.randrange(1000, 9999)}-{chance.randrange(1000, 9999)}",
        lambda: f"EAN {fake.ean13()}",
        lambda: f"request id {uuid.UUID(bytes=chance.randbytes(16))}",
        lambda: f"Order no. {some(chance, string.digits, 10)} of {fake.date()}",
        lambda: f"{fake.date_time().isoformat()}+02:00 started",
        lambda: f"{fake.date('%d.%m.%Y')}, {fake.time()}",
        lambda: f"at {chance.uniform(-90, 90):.6f}, {chance.uniform(-180, 180):.6f}",
        lambda: f"loss {chance.random():.8f} after {chance.randrange(10**7)} steps",
        lambda: f"doi:10.{chance.randrange(1000, 9999)}/s{chance.randrange(10**5)}-{some(chance, string.digits, 7)}",
        lambda: f"arXiv:{chance.randrange(7, 26):02}{chance.randrange(1, 13):02}.{some(chance, string.digits, 5)}",
        lambda: f"listen {chance.choice(['10', '127', '192.168'])}.{numbers(256, 256, 256)}:8080",
        lambda: f"ether {':'.join(some(chance, '0123456789abcdef', 2) for _ in range(6))}",
        lambda: f"pages {chance.randrange(900)}-{chance.randrange(1000)}, vol. {chance.randrange(90)}",
        lambda: f"{chance.randrange(10**9, 10**10):,} bytes in {chance.randrange(10**5)} files",
        lambda: f"price {chance.randrange(10**4):,}.{chance.randrange(100):02} EUR, lot {chance.randrange(10**9)}",
        lambda: f"@{chance.choice(['app.route', 'pytest.fixture', 'dataclass'])}(a) and x @ y.T[{chance.randrange(9)}]",
        lambda: f"git@github.com:{fake.user_name()}/tool.git",
        lambda: chance.choice([
            "password = getpass('Password: ')", "token = request.headers['X-Token']", "api_key: str | None = None",
            "secret = os.environ['APP_SECRET']", "tokenizer = AutoTokenizer.from_pretrained(model_name_or_path)",
            "password: <your-password-here>", "auth_token=${AUTH_TOKEN_FROM_VAULT}", "secret_name = projects/prod/db",
            "password_hash_algorithm = pbkdf2_sha256", "access_key_rotation_days: 90", "pass --token-file=/run/token2",
            "secret santa 2024 draw, passwords are changed every 90 days", "token_type_ids = torch.zeros(1, 128)",
            "Authorization: Bearer <token>", "AccountKey=<account-key>", "postgres://user:password@localhost/db",
        ]),
        lambda: f"#{digest('md5')[:6]}; color: #{digest('md5')[:6]}",
        lambda: f"0x{digest('md5')[:16]}: mov rax, 0x{digest('md5')[:8]}",
        lambda: f"torch.Size([{chance.randrange(99)}, {chance.randrange(999)}, {chance.randrange(9999)}])",
    ]  # fmt: skip
    for maker in makers:
        yield from (Case(maker()) for _ in range(PER_NEGATIVE))

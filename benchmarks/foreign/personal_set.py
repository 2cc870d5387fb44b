"""Personal data as people of other countries write it, and what only looks alike, drawn from a seed.

Telephone numbers are Google's examples by country with other last digits, in four spellings, in sentences of the
country's language, every third without a word for telephone. Keys have the forms that issuers publish. Other kinds are
`faker`'s values in spellings seen in mail and on web pages. Whoever wrote this had read the detectors,
and mended them on some of the look-alikes (drawn with another seed), so precision in real text is lower.
"""

import random
import string
from collections.abc import Iterator
from dataclasses import dataclass

import phonenumbers
from faker import Faker
from phonenumbers import PhoneNumberFormat as Form
from phonenumbers import PhoneNumberType

ALNUM, HEX, UPPER = string.ascii_letters + string.digits, "0123456789abcdef", string.ascii_uppercase + string.digits
PER_KIND = 120
REGIONS = {
    "US AU CA": "You can reach Tom at {} after five.|Office phone: {}, ask for Jane.|Jane Miller, Sales, {}, floor 2",
    "GB IE NZ": "Please ring {} if the parcel is late.|Tel: {} (weekdays)|The Old Mill, Bath, {}, open all year",
    "DE AT CH": "Unsere Praxis erreichen Sie unter {} am Vormittag.|Telefon: {}|Kanzlei Weber, Hauptstraße 5, {}",
    "FR BE": "Vous pouvez nous joindre au {} le matin.|Tél. : {}|Cabinet Martin, 12 rue Verte, {}, sur rendez-vous",
    "ES MX AR": "Si tiene preguntas, llame al {} por la tarde.|Teléfono: {}|Clínica Sol, calle Mayor 3, {}, abierto",
    "IT": "Per informazioni chiamare il numero {} la mattina.|Tel. {}|Studio Rossi, via Roma 10, {}, su appuntamento",
    "PT BR": "Para marcar uma consulta ligue para {} de manhã.|Telefone: {}|Padaria Silva, rua Nova 7, {}, aberta",
    "NL": "Bel ons op {} voor een afspraak.|Telefoon: {}|Bakkerij Jansen, Dorpsstraat 4, {}, dagelijks open",
    "SE": "Ring oss på {} om du har frågor.|Telefon: {}|Karins blommor, Storgatan 2, {}, öppet alla dagar",
    "NO DK": "Ring til os på {} hvis du har spørgsmål.|Tlf.: {}|Hansens bageri, Storgade 8, {}, åbent hver dag",
    "FI": "Soita numeroon {} aamulla.|Puhelin: {}|Virtasen kukkakauppa, Kauppakatu 3, {}, avoinna joka päivä",
    "PL": "Proszę dzwonić pod numer {} po południu.|Tel.: {}|Piekarnia Nowak, ul. Długa 5, {}, czynne codziennie",
    "CZ": "Volejte nám na číslo {} každý den.|Telefon: {}|Květiny Novák, Dlouhá 3, {}, otevřeno denně",
    "HU": "Hívjon minket a {} számon délelőtt.|Telefonszám: {}|Kovács pékség, Fő utca 2, {}, minden nap nyitva",
    "RO": "Sunați la {} pentru programări.|Telefon: {}|Cabinet Popescu, strada Lungă 5, {}, deschis zilnic",
    "TR": "Randevu için {} numarasını arayın.|Telefon: {}|Yılmaz Fırını, Atatürk Caddesi 4, {}, her gün açık",
    "GR": "Καλέστε μας στο {} κάθε πρωί.|Τηλέφωνο: {}|Φούρνος Παπαδόπουλος, οδός Ερμού 3, {}, ανοιχτά",
    "RU": "Звоните нам по номеру {} в любое время.|Телефон: {}|Пекарня Иванова, улица Ленина 5, {}, без выходных",
    "UA": "Телефонуйте нам за номером {} щодня.|Тел.: {}|Пекарня Шевченко, вулиця Довга 5, {}, щодня відчинено",
    "IL": "אפשר להתקשר אלינו {} בכל יום.|טלפון: {}|מאפיית כהן, רחוב הרצל 5, {}, פתוח כל יום",
    "EG SA": "يمكنكم الاتصال بنا على الرقم {} كل يوم.|هاتف: {}|مخبز النيل، شارع الجامعة، {}، مفتوح كل يوم",
    "IN": "अधिक जानकारी के लिए {} पर संपर्क करें।|फ़ोन: {}|शर्मा बेकरी, गांधी मार्ग, {}, रोज़ खुला",
    "TH": "ติดต่อเราได้ที่ {} ทุกวัน|โทรศัพท์: {}|ร้านเบเกอรี่สมชาย ถนนสุขุมวิท {} เปิดทุกวัน",
    "VN": "Vui lòng gọi số {} vào buổi sáng.|Điện thoại: {}|Tiệm bánh Hoa, đường Lê Lợi 5, {}, mở cửa hàng ngày",
    "ID": "Silakan hubungi kami di {} setiap pagi.|Telepon: {}|Toko Roti Budi, Jalan Merdeka 5, {}, buka setiap hari",
    "CN TW": "如有问题，请拨打{}联系我们。|电话：{}|小王面包店，中山路5号，{}，每天营业",
    "JP": "ご予約は{}までお願いします。|電話番号：{}|山田パン店、中央通り5番地、{}、毎日営業",
    "KR": "궁금한 점은 {} 번으로 연락 주세요.|전화번호: {}|김씨 빵집, 중앙로 5, {}, 매일 영업",
}
"""Countries -> sentences; the last has no word for telephone."""
KEYS = (
    "AKIA{U16} AIza{B35} GOCSPX-{B28} ya29.a0{B120} ghp_{A36} gho_{A36} github_pat_{A22}_{A59} glpat-{B20} glrt-{B20} "
    "xoxb-{D12}-{D12}-{A24} https://hooks.slack.com/services/T{U8}/B{U8}/{A24} xapp-1-{U11}-{D13}-{H64} sk_live_{A24} "
    "https://discord.com/api/webhooks/{D18}/{B68} M{A23}.{B6}.{B27} sk_test_{A24} rk_live_{A24} whsec_{A32} SK{H32} "
    "key-{H32} {H32}-us12 pypi-AgEIcHlwaS5vcmc{B120} dop_v1_{H64} shpat_{H32} dapi{H32} gsk_{A52} xai-{A80} r8_{A37} "
    "lin_api_{A40} ntn_{A46} secret_{A43} NRAK-{U27} AGE-SECRET-KEY-1{U58} hvs.{B90} fo1_{B43} sk-proj-{B100} "
    "sk-ant-api03-{B93}AA hf_{L34} npm_{A36} SG.{B22}.{B43} {D10}:AA{B33} figd_{B40} PMAK-{H24}-{H34} glsa_{A32}_{H8} "
    "dckr_pat_{B27} {A14}.atlasv1.{B67} sq0csp-{B43} EAAA{B60} rubygems_{H48} dp.pt.{A43} pscale_tkn_{B43} sbp_{H40} "
    "xkeysib-{H64}-{A16} pplx-{A48} CFPAT-{B43} nfp_{A40} CLOJARS_{h60} tfp_{A44}_{A14} oy2{l43} bkua_{H40} pul-{H40} "
    "pnu_{A36} rdme_{h70} sgp_{H40} LTAI{A20} AKID{A32} AQVN{B38} p8e-{h32} CCIPAT_{A22}_{H40} EZAK{A54} "
    "access_token$production${h16}${H32} patA{A13}.{H64} sntrys_{A80} lsv2_pt_{H32}_{H10} api_{A40} "
    "eyJ{B30}.eyJ{B60}.{B43}"
)
"""Published forms: {U16} are 16 capitals or digits; A letters or digits, B with `-_`, H hex, D digits, L letters."""
IN_TEXT = "export TOKEN={}|The key {} was revoked today.|curl -H 'Authorization: {}'|key: {}|my key is {} please help"
SPELLINGS = {
    "email": "Write to {}.|<{}>|Von: Anna Weber <{}>|mailto:{}?subject=x|联系：{}。|{}, office 4|пишите на {}",
    "card": "Visa {} 09/28|MasterCard {} exp. 11/27|{} cvv 123|карта {}|Karte {}, bis 03/29|卡号：{}。|Card no. {}",
    "iban": "IBAN: {}|Bitte auf {} überweisen|счёт {}|{} BIC GENODEF1XXX|compte n° {}.|账号：{}。|({})",
    "ip": "from {} port 22|[{}]|IP：{}。|http://{}/a|адрес {}.|{} - - [09/Nov] GET|blocked: {}, twice",
}
LOOKALIKES = (
    "Boston, MA 0{D4}-{D4}, USA|Newark NJ 0{D4}-{D4}|Hartford, CT 0{D4}-{D4}|kernel 6.12.1{D2}.2{D1}|"
    "Chrome/13{D1}.0.{D4}.1{D2}|"
    "+2147483647 is the largest|ring buffer size 1{D6}|sold 1{D6} fax machines|ISBN 978-{D1}-{D4}-{D4}-{D1}|#{D10}|"
    "commit {H40}|sha256-{A43}=|uuid {H8}-{H4}-4{H3}-a{H3}-{H12}|239.255.255.25{D1}|192.168.{D1}.{D2}|"
    "order {D4}-{D4}-{D4}|"
    "2026-0{D1}-1{D1} 1{D1}:3{D1}:0{D1}|1{D1}.0{D1}.2025 - 2{D1}.0{D1}.2025|{D3},{D3},{D3} bytes|tracking 1Z{U6}{D10}|"
    "password = get_secret(name)|token: <your-token-here>|@app.route('/x')|git@github.com:a/b.git|loss 0.{D8}|"
    "RFC {D4}, section {D1}.{D1}.{D1}.{D1}|GTIN 0{D13}|4{D3} {D4} {D4} {D3}|DE{D2} is route {D4} {D4}|"
    "CEP 0{D4}-{D3}|〒{D3}-{D4}|"
    "10115 Berlin, 0{D1}.0{D1}.|lat 52.{D6}, lon 13.{D6}|tel. 1|pages {D3}-{D3}|score 3:{D1}, 12:{D2}|"
    "π = 3.14159265358979"
)


@dataclass(frozen=True)
class Planted:
    """A text; the value in it, its kind and spelling, all "" where there is none."""

    text: str
    value: str = ""
    kind: str = ""
    form: str = ""


def planted(seed: int) -> Iterator[Planted]:
    """`PER_KIND` of each kind, and as many of what only looks alike as of all kinds."""
    chance = random.Random(seed)
    Faker.seed(seed)
    fake = Faker(["en_US", "de_DE", "fr_FR", "es_ES", "it_IT", "nl_NL", "pl_PL"])
    yield from phones(chance)
    forms = KEYS.split()
    for number in range(PER_KIND):
        form, value = forms[number % len(forms)], filled(forms[number % len(forms)], chance)
        yield Planted(chance.choice(IN_TEXT.split("|")).format(value), value, "secret", form.split("{")[0])
        for kind, (value, form) in _others(fake, chance).items():
            text = chance.choice(SPELLINGS[kind].split("|"))
            yield Planted(text.replace("{}", value), value, kind, form)
    for number in range(6 * PER_KIND):
        lookalikes = LOOKALIKES.split("|")
        yield Planted(filled(lookalikes[number % len(lookalikes)], chance))


def _others(fake: Faker, chance: random.Random) -> dict[str, tuple[str, str]]:
    """Kind -> (value, spelling)."""
    email, card, iban = (
        fake.email(),
        fake.credit_card_number(chance.choice(["visa", "mastercard", "amex"])),
        fake.iban(),
    )
    name, domain = email.split("@")
    ways = {
        "plain": email, "plus": f"{name}+list@{domain}", "new domain": f"{name}@studio-{name[:3]}.photography",
        "in another script": f"{name}@bücher.example", "entity": f"{name}&#64;{domain}",
        "words": f"{name} (at) {domain}",
    }  # fmt: skip
    form = chance.choices(list(ways), [5, 2, 2, 1, 1, 1])[0]
    mark = chance.choice(["", " ", "-", " "])
    grouped = mark.join((card[:4], card[4:10], card[10:]) if len(card) == 15 else _fours(card))
    space = chance.choice(["", " ", " ", "\u00a0"])
    v6 = chance.random() < 0.3
    return {
        "email": (ways[form], form),
        "card": (grouped, f"groups by {mark!r}"),
        "iban": (space.join(_fours(iban)), f"groups by {space!r}"),
        "ip": (fake.ipv6() if v6 else fake.ipv4_public(), "v6" if v6 else "v4"),
    }


def _fours(value: str) -> list[str]:
    return [value[at : at + 4] for at in range(0, len(value), 4)]


def filled(form: str, chance: random.Random) -> str:
    """A form with random characters in the place of {A16} and the like."""
    letters = {"A": ALNUM, "B": ALNUM + "-_", "H": HEX, "D": string.digits, "L": string.ascii_letters, "U": UPPER}
    letters |= {"h": HEX, "l": string.ascii_lowercase + string.digits}
    pieces = form.replace("}", "{").split("{")
    return "".join(
        "".join(chance.choices(letters[piece[0]], k=int(piece[1:]))) if number % 2 else piece
        for number, piece in enumerate(pieces)
    )


def phones(chance: random.Random) -> Iterator[Planted]:
    """`PER_KIND` numbers or more, every country in four spellings."""
    for regions, sentences in REGIONS.items():
        for region in regions.split():
            for spelling in ("national", "international", "e164", "hyphens"):
                sentence = chance.choice(sentences.split("|"))
                value = spelled(valid_number(region, chance), spelling)
                yield Planted(sentence.format(value), value, "phone", spelling)


def spelled(number: phonenumbers.PhoneNumber, spelling: str) -> str:
    """The number as people write it; `hyphens`: international, with them in the place of spaces."""
    forms = {"national": Form.NATIONAL, "e164": Form.E164}
    text = phonenumbers.format_number(number, forms.get(spelling, Form.INTERNATIONAL))
    return text.replace(" ", "-") if spelling == "hyphens" else text


def valid_number(region: str, chance: random.Random) -> phonenumbers.PhoneNumber:
    """The country's example of a fixed or mobile number, its last five digits drawn anew until it is valid."""
    example = phonenumbers.example_number_for_type(
        region, chance.choice([PhoneNumberType.FIXED_LINE, PhoneNumberType.MOBILE])
    )
    assert example is not None
    assert example.national_number is not None
    while True:
        number = phonenumbers.PhoneNumber(
            country_code=example.country_code, italian_leading_zero=example.italian_leading_zero
        )
        number.national_number = example.national_number // 10**5 * 10**5 + chance.randrange(10**5)
        if phonenumbers.is_valid_number_for_region(number, region):
            return number

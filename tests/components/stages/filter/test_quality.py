"""Scores from arrays, against the rules written in plain Python."""

import re
from collections import Counter

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from components.params import Filter
from components.stages.filter.quality import STOP_WORDS, scores
from components.stages.filter.rules import RULES, broken_rules, limits_for
from components.stages.filter.stage import tag
from tests.components.plain_words import in_word, is_alone, plain_words, runs
from tests.components.real_text import document, modules

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


def repeated(pieces: list[str]) -> list[str]:
    """Those that occurred before."""
    return [piece for at, piece in enumerate(pieces) if piece in pieces[:at]]


def characters(pieces: list[str]) -> int:
    """Of all pieces."""
    return sum(map(len, pieces))


def plain_scores(text: str) -> dict[str, float]:
    """The documented definitions, one by one, as datatrove computes them."""
    words, tokens = plain_words(text), [word for word in runs(text) if any(map(str.isalnum, word))]
    lines = text.split("\n")[: -1 if text.endswith("\n") or not text else None]
    pieces = re.split(r"\n+", text) if text else []
    paragraphs = [part for part in re.split(r"\n{2,}", text.strip()) if part]
    full = [line for line in text.split("\n") if line.strip()]
    again = [piece for piece in repeated(pieces) if plain_words(piece)]
    dots, spaced = len(re.findall(r"\.{3,}|…+", text)), [word for word in words if not is_alone(word[0])]
    result: dict[str, float] = {
        "num_chars": len(text),
        "num_words": len(words),
        "spaced_words": len(spaced),
        "mean_word_length": ratio(characters(spaced), len(spaced)),
        "num_tokens": len(tokens),
        "alpha_words": ratio(len(words), len(tokens)),
        "symbols_per_word": ratio(max(len(re.findall("#+", text)), dots), len(words)),
        "stop_words": sum(not {word, word.upper(), word.capitalize()}.isdisjoint(words) for word in STOP_WORDS),
        "num_lines": len(full),
        "repeated_lines": len(again),
        "repeated_paragraphs": len(repeated(paragraphs)),
        "bullet_lines": ratio(sum(line.lstrip().startswith(("•", "-")) for line in lines), len(lines)),
        "ellipsis_lines": ratio(sum(line.rstrip().endswith(("...", "…")) for line in lines), len(lines)),
        "duplicate_lines": ratio(len(again), len(pieces)),
        "duplicate_line_chars": ratio(characters(again), len(text)),
        "duplicate_paragraphs": ratio(len(repeated(paragraphs)), len(paragraphs)),
        "duplicate_paragraph_chars": ratio(characters(repeated(paragraphs)), len(text)),
        "punctuated_lines": ratio(sum(line.endswith(tuple(".?!。")) for line in full), len(full)),
        "short_lines": ratio(sum(len(line) <= 30 for line in full), len(full)),
        "repeated_line_chars": ratio(characters(repeated(full)), len(text.replace("\n", ""))),
        "newlines_per_word": ratio(text.count("\n"), len(words)),
    }
    result |= plain_c4(text)
    for n in (2, 3, 4):
        grams = Counter(" ".join(words[at : at + n]) for at in range(len(words) - n + 1))
        top, count = grams.most_common(1)[0] if grams else ("", 0)
        result[f"top_{n}gram"] = ratio(len(top) * count, len(text))
    for n in range(5, 11):
        seen, chars, at = set[tuple[str, ...]](), 0, 0
        while at < len(words) - n + 1:
            gram = tuple(words[at : at + n])
            chars, at = (chars + characters([*gram]), at + n) if gram in seen else (chars, at + 1)
            seen.add(gram)
        result[f"duplicate_{n}gram"] = ratio(chars, len(text))
    return result


POLICIES = ["terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies"]


def plain_c4(text: str) -> dict[str, float]:
    """C4's facts, line by line, in the order in which datatrove asks for them."""
    found = dict.fromkeys(("sentences", "curly_lines", "lorem_ipsum"), 0)
    for whole in text.split("\n"):
        words = whole.split()
        line = re.sub(r"\[\d*]|\[edit]|\[citation needed]", "", whole.strip())
        ends_well = line.endswith((".", "?", "!", '"', "'")) and not line.endswith("...")
        if not ends_well or len(words) < 3 or any(len(word) > 1000 for word in words):
            continue
        lower = line.lower()
        found["lorem_ipsum"] += "lorem ipsum" in lower
        if "javascript" in lower:
            continue
        found["curly_lines"] += "{" in line
        if not any(phrase in lower for phrase in POLICIES):
            found["sentences"] += plain_sentences(line)
    return dict(found)


def plain_sentences(line: str) -> int:
    """A sentence begins with the line, and with the first word after a mark that ends sentences and is in no word."""
    count, ended, rest = 1, False, line
    while rest:
        following = rest[1:2] or " "
        if regex.match(r"\p{Sentence_Terminal}", rest) and (is_alone(following) or not in_word(following)):
            ended = True
        word = plain_words(rest)[:1]
        if word and rest.startswith(word[0]):
            count, ended, rest = count + ended, False, rest[len(word[0]) :]
        else:
            rest = rest[1:]
    return count


def ratio(part: float, whole: float) -> float:
    """part / whole, 0 for 0 / 0."""
    return part / whole if whole else 0.0


def compare(texts: list[str]) -> None:
    """All texts at once against each alone."""
    found = scores(texts)
    for at, text in enumerate(texts):
        for name, value in plain_scores(text).items():
            assert found[name][at] == pytest.approx(value, abs=1e-12), (name, text[:200])


def test_odd_and_real_texts() -> None:
    compare([*ODD_TEXTS, *(document.text for document in modules()[:60])])


@settings(max_examples=60)
@given(st.lists(st.text(st.sampled_from("ab.#\n é…漢-"), max_size=60), min_size=1, max_size=5))
def test_any_texts(texts: list[str]) -> None:
    compare(texts)


LINE_PARTS = [
    "Words ", "of ", "a line", ". ", "! ", "? ", '"', "'", "...", "…", ".", ",", " ", "\n", "(", "漢字。", "é"
]  # fmt: skip
C4_PARTS = [
    "Lorem  ", "lorem ", "Lorem ipsum ", "JavaScript ", "{", "}", "use cookies ", "Terms of use", "[", "]", "[1]",
    "[12]", "[]", "[edit]", "[citation needed]", "[note]", "x" * 1000, "x" * 1001,
]  # fmt: skip


@settings(max_examples=300)
@given(st.lists(st.lists(st.sampled_from(LINE_PARTS * 2 + C4_PARTS), max_size=40).map("".join), min_size=1, max_size=4))
def test_c4_on_any_lines(texts: list[str]) -> None:
    found = scores(texts)
    for at, text in enumerate(texts):
        for name, value in plain_c4(text).items():
            assert found[name][at] == value, (name, text)


def test_scripts_without_spaces_are_seen() -> None:
    found = scores(["漢字かな交じり文", "Latin letters", "ภาษาไทย"])
    assert found["unspaced_letters"].tolist() == [1.0, 0.0, 1.0]


BANNER = "We use cookies to improve your visit. Accept all cookies. Cookie settings. Our partners may use cookies too."
LOREM = "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labore et dolore."
GERMAN = "Die Größe der Übung fällt später schöner aus, als die Gäste im Frühjahr über die Straße hören mussten."


def broken_by_default(text: str) -> set[str]:
    """Default rules that a text breaks."""
    columns = tag([document("one", text)], [])
    (row,) = broken_rules(limits_for(Filter(), ""), columns)
    return {rule.name for rule, is_broken in zip(RULES, row, strict=True) if is_broken}


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (BANNER, "max_boilerplate"),
        ("Wir verwenden Cookies für Statistik. Cookies akzeptieren. Sie können Cookies ablehnen.", "max_boilerplate"),
        ("Dienste, die wir nutzen. Passen Sie Einstellungen an. Alle akzeptieren. Ich lehne ab.", "max_boilerplate"),
        ("Ce site utilise des cookies pour mesurer l'audience. Tout accepter. Tout refuser.", "max_boilerplate"),
        ("本网站使用Cookie来改善您的浏览体验。继续浏览即表示您同意。隐私政策。全部接受", "max_boilerplate"),
        ("Мы используем файлы cookie. Продолжая пользоваться сайтом, вы соглашаетесь. Принять все.", "max_boilerplate"),
        ("نستخدم ملفات تعريف الارتباط لتحسين تجربتك. سياسة الخصوصية. قبول الكل", "max_boilerplate"),
        ("हम कुकीज़ का उपयोग करते हैं। सभी स्वीकार करें। गोपनीयता नीति", "max_boilerplate"),
        ("当サイトではクッキーを使用しています。プライバシーポリシー。すべて許可", "max_boilerplate"),
        ("欢迎光临本店，欢迎光临本店。" * 60, "max_duplicate_10gram"),
        ("अभी खरीदें और पैसे बचाएँ। " * 50, "max_duplicate_10gram"),
        ("اشتر الآن ووفر المال. " * 50, "max_duplicate_10gram"),
        ("真人娱乐城，注册送88元，首存100%返水！老虎机天天中奖，提款五分钟到账，", "max_boilerplate"),
        ("Startseite\nÜber uns\nAktuelle Meldungen\nKontakt", "max_boilerplate"),
        ("Accueil | À propos | Plan du site | Nous contacter", "max_boilerplate"),
        ("首页\n关于我们\n新闻中心\n联系我们", "max_boilerplate"),
        ("ホーム\n検索\n設定\nサイトマップ\nプライバシー・ポリシー\nお問い合わせ\nログイン", "max_boilerplate"),
        ("Главная · О проекте · Карта сайта · Вход", "max_boilerplate"),
        ("Vorwort\nEinleitung\nErstes Kapitel\nZweites Kapitel\nDrittes Kapitel\nNachwort", "max_boilerplate"),
        ("Zutaten\nMehl\nZucker\nButter\nEier\nSalz", "max_boilerplate"),
        (LOREM, "max_boilerplate"),
        (GERMAN.encode().decode("cp1252", "replace"), "max_mojibake"),
        (GERMAN.encode().decode("latin-1"), "max_mojibake"),
        (GERMAN.encode("latin-1").decode("utf-8", "replace"), "max_mojibake"),
        ("Это предложение было прочитано в неверной кодировке. ".encode().decode("cp1252", "replace"), "max_mojibake"),
    ],
)
def test_what_nobody_wrote_to_be_read_goes_by_default(text: str, rule: str) -> None:
    assert rule in broken_by_default(text)


@pytest.mark.parametrize(
    "text",
    [
        "Hi Ann\nSee attached\nBest wishes from Bob",  # three lines
        "春眠不觉晓\n处处闻啼鸟\n夜来风雨声，\n花落知多少",  # a mark
        "the snow has gone\nand all day long\nthe crows come back\nto the wet field",  # lines of four words
        "rain falls\non\nthe grey roof\nand the\ncat",  # lines that begin small
        "夜雨·其二\n作者\n某人\n灯前书一卷\n窗外雨三更\n远寺闻钟晚\n归舟待月明",  # lines of five characters
        "山里に\nただひとりをば\n夜更けて\n灯をともす\n人ぞゆかしき",  # the same with kana
        "flour 300 g\nbutter 150 g\nsugar 100 g\none egg",  # digits
        "古池や\n蛙飛び込む水の音\n夏草や\n兵どもが夢の跡なり候",  # a line of more than three words
    ],
)
def test_verse_notes_and_lists_with_numbers_are_no_menu(text: str) -> None:
    assert "max_boilerplate" not in broken_by_default(text)


RULED = (
    """Kernel driver bh1770
====================

Supported chips
---------------

- ROHM BH1770GLC
- OSRAM SFH7770

Description
-----------

The driver reads the light around the device and how near something is, and both may wake it.
"""
    + "=========  ====\nname       bits\n=========  ====\n" * 6
)
CHINESE_MARKUP = ".. _damon_usage:\n\n`sysfs 接口 <usage>`\n\n" + (
    "- ``admin``: 写入 ``on`` 到 ``/sys/kernel/mm/damon/admin/kdamonds/0/state`` 文件, 用户可以 read() 得到 n。\n"
) * 2  # fmt: skip

CODE = "".join(
    f"def mean_{name}(rows, default=None):\n    values = [row.{name} for row in rows if row.{name} is not None]\n"
    f"    return sum(values) / len(values) if values else default\n\n"
    for name in ("width", "height", "depth", "price", "weight", "age")
)


@pytest.mark.parametrize(
    "text",
    [
        "This is one of those films that you leave before the end, and then you wonder what you might have missed...",
        "- Having grown tired of the town, she took the first train to the sea and never wrote a single letter home.",
        "- Какой журнал вы читаете?\n- Тот, что лежал на столе...",
        "- Какой журнал вы читаете?\n- Тот, что лежал на столе.\n- А книгу?\n- И книгу тоже.",
        "Любовь отважней ненависти. -- Грасиан",
        "WE THE UNDERSIGNED ASK THE COUNCIL TO KEEP THE LIBRARY OPEN. " * 3,
        RULED,
        CHINESE_MARKUP,
        "विस्तृत प्रारूप",
        CODE,
        "The old bus reaches two slots:\n" + "   |        |\n   +--------+\n" * 12,
        "Print StrConv(x) ' = ＡＢＣ かたかな カタカナ 漢字仮名交; 'Ã¼ Ã¶ Ã¤ Ã© are letters read wrongly'",
        "床前明月光，疑是地上霜。",
        "白日依山尽\n黄河入海流\n欲穷千里目\n更上一层楼",
        "故人西辭黃鶴樓\n煙花三月下揚州\n孤帆遠影碧空盡\n唯見長江天際流\n朝辭白帝彩雲間\n千里江陵一日還\n兩岸猿聲啼不住",
        "春過ぎて\n夏来にけらし\n白妙の\n衣ほすてふ\n天の香具山",
        "हिमालय के आँगन में\nउसे प्रथम किरणों का\nदे उपहार\nउषा ने हँस\nअभिनंदन किया\nऔर पहनाया हीरक हार",
        "قفا نبك من ذكرى حبيب ومنزل\nبسقط اللوى بين الدخول فحومل\nفتوضح فالمقراة لم يعف رسمها\nلما نسجتها\nترى بعر",
        "Anna Schmidt\nPeter Müller\nJohn Smith\nMarie Curie\nAda Lovelace",
        "Über allen Gipfeln\nIst Ruh,\nIn allen Wipfeln\nSpürest du\nKaum einen Hauch;\nDie Vögelein schweigen.",
        "Ein Cookie ist eine kleine Datei, die ein Browser für einen Server aufhebt und ihm bei jeder Anfrage schickt.",
        "Wir verwenden in diesem Kapitel Cookies, um eine Sitzung zu erkennen; das Protokoll lässt anderes zu.",
        "En français « é» et «è» se lisent bien : l'année», l'été», la clé» sont mal composées, mais bien codées.",
        GERMAN,
        "Aristotelian metaphysics captivates readers everywhere.",
        "Napoleon conquered Italy in 1796 as a young general.",
        "Rainfall rarely exceeds ten millimetres here.",
        "A cookie is a small file that a site stores on the reader's machine; browsers let people delete each of them.",
        "The printer's text that begins with lorem ipsum is taken from Cicero. " + "It was shuffled later. " * 4,
        "In Latin-1 the letters Ã and Â come before Ä, as every table shows; São and Mãe need the tilde.",
        "Ça va être très agréable, déjà à Nîmes où l'été naît tôt; « Noël » approche, dit-elle à François.",
        "Å ÄÖ: svenska tecken; Ångström och Ärlig är ord. Það er íslenska. Đây là tiếng Việt.",
    ],
)
def test_a_good_sentence_stays(text: str) -> None:
    assert broken_by_default(text) == set()

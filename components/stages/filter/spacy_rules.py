"""How a stretch without white space is split into words: as spaCy's English tokenizer does (spaCy 3.8, MIT).

The rules of Gopher, C4 and FineWeb are about words, and the tool that made them known (datatrove) takes spaCy's. Its
split depends on nothing outside the stretch, and a shard has a tenth as many different stretches as stretches, so each
is split once: affixes are peeled off from both ends, what is left is cut at infixes unless it reads like a URL, and
listed exceptions (contractions, abbreviations, emoticons) come before all of it, also where neighbouring pieces make
one up. benchmarks/data_filters.py compares it with spaCy itself.
"""

import re
import unicodedata
from functools import cache, lru_cache

PUNCTUATION = frozenset("…,:;!?¿؟¡()[]{}<>_#*&。？！，、；：～·।،۔؛٪")
QUOTES = frozenset("'\"”“`‘´’‚,„»«「」『』（）〔〕【】《》〈〉〈〉⟦⟧")
CURRENCY = frozenset("$£€¥฿₽﷼₴₠₡₢₣₤₥₦₧₨₩₪₫₭₮₯₰₱₲₳₵₶₷₸₹₺₻₼₾₿")
_PREFIXES = PUNCTUATION | QUOTES | CURRENCY | frozenset("§%=—–")
_SUFFIXES = PUNCTUATION | QUOTES | frozenset("—–")
_BEFORE_FULL_STOP = PUNCTUATION | QUOTES | frozenset("0123456789%²-+|")
_UNIT = re.compile(
    "(?<=[0-9])(?:km²|km³|km|m²|m³|m/s|m|dm²|dm³|dm|cm²|cm³|cm|mm²|mm³|mm|ha|µm|nm|yd|in|ft|kg|g|mg|µg|t|lb|oz|km/h|kmh"
    "|mph|hPa|Pa|mbar|mb|MB|kb|KB|gb|GB|tb|TB|T|G|M|K|%)$"
)
_DIGIT = re.compile("[0-9]")
_CURRENCY_END = re.compile(f"(?<=[0-9])(?:US\\$|C\\$|A\\$|[{''.join(sorted(CURRENCY))}])$")
_DOTS_END = re.compile(r"\.\.+$")
_DOTS = re.compile(r"\.\.+")
_UNSPLIT_CHARS = 2000
"""Longer stretches are encoded data; they stay whole, as looking for a URL in them could take for ever."""


def _is_icon(character: str) -> bool:
    """A symbol such as an arrow, a box or an emoji."""
    return character in "¦©®°" or (character >= "\u2100" and unicodedata.category(character) == "So")


def _prefix(text: str) -> int:
    """Length of the affix a text begins with; 0 if with none."""
    first = text[0]
    if first in _PREFIXES:
        return 1
    if first.isalnum():
        return (3 if text.startswith("US$") else 2 if text[:2] in ("C$", "A$") else 0) if "$" in text[:3] else 0
    if first == "+":
        return 0 if text[1:2].isdigit() else 1
    if first == ".":
        dots = _DOTS.match(text)
        return dots.end() if dots else 0
    return int(_is_icon(first))


def _suffix(text: str) -> int:
    """Length of the affix a text ends with; 0 if with none."""
    last = text[-1]
    if last in _SUFFIXES:
        return 2 if text.endswith("……") else 1
    if last == ".":
        return _full_stop(text)
    if last in "sS" and text[-2:-1] in ("'", "’"):
        return 2
    if last == "+":
        return int(text[-2:-1].isdigit())
    if last.isalpha() or last in "²³%":
        if text.isalpha() or not _DIGIT.search(text, max(0, len(text) - 5)):
            return 0
        unit = _UNIT.search(text, max(0, len(text) - 5))
        return len(text) - unit.start() if unit else 0
    if last in CURRENCY:
        found = _CURRENCY_END.search(text)
        return len(text) - found.start() if found else 0
    return int(not last.isascii() and _is_icon(last))


def _full_stop(text: str) -> int:
    dots = _DOTS_END.search(text)
    if dots:
        return len(text) - dots.start()
    before = text[-2:-1]
    if not before:
        return 0
    lower = before.isalpha() and not before.isupper()
    upper = len(text) > 2 and all(each.isalpha() and not each.islower() for each in text[-3:-1])
    degrees = len(text) > 2 and text[-3] == "°" and before in "FfCcKk"
    return int(lower or upper or degrees or before in _BEFORE_FULL_STOP)


# -- inside ------------------------------------------------------------------------------------------------------------


def _infixes(lower: str, upper: str, quotes: str, icons: str) -> re.Pattern[str]:
    letter = lower + upper
    return re.compile(
        rf"\.\.+|…|[{icons}]"
        r"|(?<=[0-9])[+\-*^](?=[0-9-])"
        rf"|(?<=[{lower}{quotes}])\.(?=[{upper}{quotes}])"
        rf"|(?<=[{letter}]),(?=[{letter}])"
        rf"|(?<=[{letter}0-9])(?:-|–|—|--|---|——|~)(?=[{letter}])"
        rf"|(?<=[{letter}0-9])[:<>=/](?=[{letter}])"
    )


def _url(lower: str) -> re.Pattern[str]:
    """A URL or a host, the scheme optional; `module.function` reads like one."""
    label = "A-Za-z0-9\u00a1-\uffff"
    return re.compile(
        r"(?:[\w+\-.]{2,}://)?(?:\S+@)?"
        rf"(?:(?:(?:[{label}][{label}_-]{{0,62}})?[{label}]\.)+[{lower}]{{2,63}}"
        r"|(?!10\.|127\.|169\.254\.|192\.168\.)\d{1,3}(?:\.\d{1,3}){3})"
        r"(?::\d{2,5})?(?:[/?#]\S*)?$"
    )


_ASCII = _infixes("a-z", "A-Z", "'\"`,", "°"), _url("a-z")


@cache
def _unicode() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """The same for any script; letters without case count as both."""
    characters = [chr(code) for code in range(0x30000)]
    letters = [each for each in characters if each.isalpha()]
    icons = _ranges([each for each in characters if not each.isascii() and _is_icon(each)])
    lower = _ranges([each for each in letters if not each.isupper()])
    upper = _ranges([each for each in letters if not each.islower()])
    return _infixes(lower, upper, "".join(sorted(QUOTES)), icons), _url(lower)


def _ranges(characters: list[str]) -> str:
    """Sorted characters as the inside of a character class."""
    result: list[list[str]] = []
    for each in characters:
        if result and ord(each) == ord(result[-1][1]) + 1:
            result[-1][1] = each
        else:
            result.append([each, each])
    return "".join(f"{first}-{last}" for first, last in result)


def _cut(text: str) -> list[str]:
    """What affixes left over, cut at its infixes."""
    infixes, url = _ASCII if text.isascii() else _unicode()
    if text.isalnum() or ("." in text and url.match(text)):
        return [text]
    pieces, start = [], 0
    for match in infixes.finditer(text):
        if match.start() == 0:
            continue
        pieces += [text[start : match.start()], match[0]] if match.start() > start else [match[0]]
        start = match.end()
    return [*pieces, text[start:]] if start < len(text) else pieces


# -- exceptions --------------------------------------------------------------------------------------------------------

_MODAL = "'ll ll 'll+'ve ll+ve 'd d 'd+'ve d+ve"
_CONTRACTIONS = (
    ("i", f"'m m 'm+a m+a {_MODAL} 've ve"),
    ("you we they", f"{_MODAL} 've ve 're re"),
    ("he she it", f"{_MODAL} 's s"),
    ("who what when where why how there", f"'s s {_MODAL} 're re 've ve"),
    ("that this", f"'s s {_MODAL}"),
    ("these those", f"{_MODAL} 're re 've ve"),
    ("ca could do does did had may might must need ought sha should wo would", "n't nt n't+'ve nt+ve"),
    ("could might must should would", "'ve ve"),
    ("ai are is was were have has dare", "n't nt"),
    ("not", "'ve ve"),
    ("let", "'s"),
)
_ORDINARY = ("ill", "its", "hell", "shell", "shed", "were", "well", "whore")
"""Words that would read like contractions."""
_PARTED = (
    "y'+all y+all how+'d+'y How+'d+'y can+not Can+not gon+na Gon+na got+ta Got+ta c'm+on C'm+on °+c+. °+f+. °+k+. "
    "°+C+. °+F+. °+K+."
)
_WHOLE = (
    "doin doin' Doin Doin' goin goin' Goin Goin' nothin nothin' Nothin Nothin' nuthin nuthin' Nuthin Nuthin' ol ol' Ol "
    "Ol' somethin somethin' Somethin Somethin' lovin lovin' Lovin Lovin' havin havin' Havin Havin' em 'em ll 'll nuff "
    "'nuff 'S 's ‘S ‘s and/or w/o 're 'Cause 'cause 'cos 'Cos 'coz 'Coz 'cuz 'Cuz 'bout ma'am Ma'am o'clock O'clock 'd "
    "Mt. Ak. Ala. Apr. Ariz. Ark. Aug. Calif. Colo. Conn. Dec. Del. Feb. Fla. Ga. Ia. Id. Ill. Ind. Jan. Jul. Jun. "
    "Kan. Kans. Ky. La. Mar. Mass. Mich. Minn. Miss. N.C. N.D. N.H. N.J. N.M. N.Y. Neb. Nebr. Nev. Nov. Oct. Okla. "
    "Ore. Pa. S.C. Sep. Sept. Tenn. Va. Wash. Wis. a.m. Adm. Bros. co. Co. Corp. D.C. Dr. e.g. E.g. E.G. Gen. Gov. "
    "i.e. I.e. I.E. Inc. Jr. Ltd. Md. Messrs. Mo. Mont. Mr. Mrs. Ms. p.m. Ph.D. Prof. Rep. Rev. Sen. St. vs. v.s. "
    "\\t \\n — ' \\\") <space> '' C++ a. b. c. d. e. f. g. h. i. j. k. l. m. n. o. p. q. r. s. t. u. v. w. x. y. z. "
    "ä. ö. ü."
)
_EMOTICONS = (
    ":) :-) :)) :-)) :))) :-))) (: (-: =) (= :] :-] [: [-: [= =] :o) (o: :} :-} 8) 8-) (-8 ;) ;-) (; (-; :( :-( :(( "
    ":-(( :((( :-((( ): )-: =( >:( :') :'-) :'( :'-( :/ :-/ =/ =| :| :-| ]= =[ :1 :P :-P :p :-p :O :-O :o :-o :0 :-0 "
    ":() >:o :* :-* :3 :-3 =3 :> :-> :X :-X :x :-x :D :-D ;D ;-D =D xD XD xDD XDD 8D 8-D ^_^ ^__^ ^___^ >.< >.> <.< "
    "._. ;_; -_- -__- v.v V.V v_v V_V o_o o_O O_o O_O 0_o o_0 0_0 o.O O.o O.O o.o 0.0 o.0 0.o @_@ <3 <33 <333 </3 "
    "(^_^) (-_-) (._.) (>_<) (*_*) (¬_¬) ><(((*>"
)


def _exceptions() -> dict[str, tuple[str, ...]]:
    """All listed stretches, and the words each is split into."""
    listed: dict[str, tuple[str, ...]] = {whole: (whole,) for whole in (*_WHOLE.split(), *_EMOTICONS.split())}
    for words, endings in _CONTRACTIONS:
        for word in words.split():
            for form in (word, word.title()):
                for ending in endings.split():
                    parts = (form, *ending.split("+"))
                    listed["".join(parts)] = parts
    for entry in _PARTED.split():
        listed[entry.replace("+", "")] = tuple(entry.split("+"))
    for hour in range(1, 13):
        for half in ("am", "a.m.", "pm", "p.m."):
            listed[f"{hour}{half}"] = (str(hour), half)
    for word in _ORDINARY:
        listed.pop(word, None)
        listed.pop(word.title(), None)
    curly = {text.replace("'", "’"): tuple(part.replace("'", "’") for part in parts) for text, parts in listed.items()}
    return curly | listed


_LISTED = _exceptions()


def _affixed(text: str, listed: dict[str, tuple[str, ...]]) -> list[str]:
    """Peel affixes off, one from each end at a time, until a listed stretch or nothing but the core is left."""
    before: list[str] = []
    after: list[str] = []
    while text and text not in listed:
        prefix = _prefix(text)
        if prefix and text[prefix:] in listed:
            before.append(text[:prefix])
            text = text[prefix:]
            break
        rest = text[prefix:]
        suffix = _suffix(rest) if rest else 0
        if suffix and text[:-suffix] in listed:
            after.append(text[-suffix:])
            text = text[:-suffix]
            break
        if not prefix and not suffix:
            break
        if prefix:
            before.append(text[:prefix])
        if suffix:
            after.append(text[-suffix:])
        text = text[prefix : len(text) - suffix]
    core: list[str] | tuple[str, ...] = ()
    if text:
        core = listed[text] if text in listed else _cut(text)
    return [*before, *core, *reversed(after)]


def _patterns() -> dict[str, dict[tuple[str, ...], tuple[str, ...]]]:
    """Exceptions with an affix or infix, by the first of the pieces they would be split into: pieces -> words."""
    result: dict[str, dict[tuple[str, ...], tuple[str, ...]]] = {}
    for text, parts in _LISTED.items():
        infixes, _ = _ASCII if text.isascii() else _unicode()
        if not (_prefix(text) or _suffix(text) or infixes.search(text)):
            continue
        pieces = tuple(_affixed(text, {}))
        result.setdefault(pieces[0], {})[pieces] = parts
    return result


_PATTERNS = _patterns()
_LONGEST = max(len(pieces) for group in _PATTERNS.values() for pieces in group)


def _with_exceptions(pieces: list[str]) -> list[str]:
    """Exceptions that neighbouring pieces make up, put in their place, the longest first."""
    found = []
    for start, piece in enumerate(pieces):
        group = _PATTERNS.get(piece)
        if group:
            for length in range(1, min(_LONGEST, len(pieces) - start) + 1):
                parts = group.get(tuple(pieces[start : start + length]))
                if parts is not None:
                    found.append((-length, start, parts))
    if not found:
        return pieces
    taken: dict[int, tuple[int, tuple[str, ...]]] = {}
    used: set[int] = set()
    for minus, start, parts in sorted(found):
        places = range(start, start - minus)
        if places[0] not in used and places[-1] not in used:
            taken[start] = (-minus, parts)
        used.update(places)
    result: list[str] = []
    at = 0
    while at < len(pieces):
        length, parts = taken.get(at, (1, (pieces[at],)))
        result += parts
        at += length
    return result


def split(stretch: str) -> tuple[str, ...]:
    """The words of a stretch without white space, in order; together they are the stretch."""
    if stretch in _LISTED:
        return _LISTED[stretch]
    if stretch.isalpha() or len(stretch) > _UNSPLIT_CHARS:
        return (stretch,)
    return tuple(_with_exceptions(_affixed(stretch, _LISTED)))


@lru_cache(maxsize=1 << 18)
def word_lengths(stretch: str) -> tuple[int, ...]:
    """Lengths of `split(stretch)`; remembered, as most stretches come again in the next shard."""
    return tuple(map(len, split(stretch)))

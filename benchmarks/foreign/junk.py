"""Cookie banners and menus of others, in seven languages, and how many of them the default rules drop.

Banners are the strings of klaro and tarteaucitron in the order in which a page shows them, menus those of MediaWiki and
DokuWiki. Who wrote the phrases of the filter had seen some strings of klaro and tarteaucitron: of banners this is no
blind test.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import yaml

from benchmarks.foreign.labels import share
from benchmarks.foreign.packages import files
from benchmarks.results import goal
from components.corpus.corpus import Document
from components.params import Filter
from components.stages.filter.stage import decide, tag

LANGUAGES = ("de", "fr", "zh", "ru", "ar", "hi", "ja")
TARTEAUCITRON = (
    "alertBigPrivacy acceptAll denyAll personalize privacyUrl",
    "alertBigScroll alertBig acceptAll denyAll personalize",
    "alertBigClick alertBig allowAll denyAll",
    "title disclaimer all allow deny allowAll denyAll",
    "title noServices close privacyUrl",
    "title disclaimer useCookie noCookie cookieDetail allow deny more source",
)
KLARO = (
    "consentNotice.description consentNotice.learnMore ok decline",
    "consentModal.title consentModal.description acceptAll acceptSelected decline",
    "consentModal.title consentModal.description privacyPolicy.text acceptAll decline",
    "consentNotice.changeDescription consentNotice.description ok decline privacyPolicy.name",
)
MEDIAWIKI = (
    "mainpage-description portal currentevents recentchanges randompage help-mediawiki",
    "mainpage-description recentchanges randompage sitesupport help search login createaccount",
    "login createaccount mytalk mycontris mypreferences mywatchlist logout",
    "view edit viewsource history talk protect delete move watch",
    "privacy aboutsite disclaimers mobile-frontend-view developers",
    "whatlinkshere recentchangeslinked-toolbox upload specialpages printableversion permalink",
)
DOKUWIKI = (
    "btn_login btn_register btn_profile btn_admin btn_recent btn_media btn_index sidebar",
    "btn_edit btn_source btn_show btn_revs btn_older btn_newer btn_backlink btn_top",
    "btn_search btn_recent btn_index btn_login btn_register btn_subscribe",
)


def measure() -> tuple[dict, list[dict]]:
    """Share of banners and menus that goes, by language and kind."""
    rows = [(kind, language, text) for language in LANGUAGES for kind, text in _texts(language)]
    fields: dict[str, Any] = dict.fromkeys(Document.__slots__[2:-1], "a")
    documents = [Document(str(number), text, **fields) for number, (_, _, text) in enumerate(rows)]
    gone = decide(Filter(), ["a"] * len(rows), tag(documents, []))
    results = {
        "junk_removed": share(len(gone), len(rows)),
        "junk_rules": dict(Counter(rule for rule, _ in gone.values())),
    }
    for at, names in ((0, sorted({row[0] for row in rows})), (1, LANGUAGES)):
        for name in names:
            some = [number for number, row in enumerate(rows) if row[at] == name]
            results[f"junk_removed_{name}"] = share(sum(number in gone for number in some), len(some))
    says = "banners and menus that are dropped; the author of the rules had seen some of the banners"
    return results, [goal("junk_removed", len(gone) / len(rows), 0.7, "higher", says)]


def _texts(language: str) -> Iterator[tuple[str, str]]:
    """(kind, text), each text once."""
    banners = [*_chosen(_tarteaucitron(language), TARTEAUCITRON, "\n"), *_chosen(_klaro(language), KLARO, "\n")]
    strings = [(_mediawiki(language), MEDIAWIKI), (_dokuwiki(language), DOKUWIKI)]
    menus = [text for some, keys in strings for sign in ("\n", " | ") for text in _chosen(some, keys, sign)]
    yield from (("banner", text) for text in dict.fromkeys(banners))
    yield from (("menu", text) for text in dict.fromkeys(menus))


def _chosen(strings: dict[str, str], keys: tuple[str, ...], sign: str) -> Iterator[str]:
    for line in keys:
        found = [strings[key] for key in line.split() if strings.get(key, "").strip()]
        if len(found) >= 3 and len(text := sign.join(found)) >= 20:
            yield text


def _tarteaucitron(language: str) -> dict[str, str]:
    text = "".join(path.read_text() for path in files(f"package/lang/tarteaucitron.{language}.js"))
    return dict(re.findall(r'^\s*"?(\w+)"?: "((?:[^"\\]|\\.)*)"', text, re.MULTILINE))


def _klaro(language: str) -> dict[str, str]:
    strings: dict[str, str] = {}
    for path in files(f"package/src/translations/{language}.yml"):
        for name, value in yaml.safe_load(path.read_text()).items():
            nested = value.items() if isinstance(value, dict) else ()
            strings |= {f"{name}.{key}": one for key, one in nested if isinstance(one, str)}
            strings |= {name: value} if isinstance(value, str) else {}
    return strings


def _mediawiki(language: str) -> dict[str, str]:
    name = {"zh": "zh-hans"}.get(language, language)
    found = files(f"**/mediawiki/languages/i18n/{name}.json")
    return {key: one for path in found for key, one in json.loads(path.read_text()).items() if isinstance(one, str)}


def _dokuwiki(language: str) -> dict[str, str]:
    text = "".join(path.read_text() for path in files(f"usr/share/dokuwiki/inc/lang/{language}/lang.php"))
    return dict(re.findall(r"\$lang\['(\w+)'\]\s*=\s*'((?:[^'\\]|\\.)*)'", text))

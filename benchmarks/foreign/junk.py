"""Cookie banners and menus of others, in seven languages, and how many of them the default rules drop.

Each has strings of one package in the order in which a page shows them. Who wrote the phrases of the filter had seen
strings of klaro, tarteaucitron, MediaWiki and DokuWiki; those of Docusaurus, NexT and Roundcube came in after the rules
were done, and are held out.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import yaml

from benchmarks.foreign.labels import share
from benchmarks.foreign.packages import files
from benchmarks.foreign.texts import verdicts
from benchmarks.results import goal, write_rows

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
DOCUSAURUS = (
    "common.skipToMainContent docs.breadcrumbs.home docs.paginator.previous docs.paginator.next common.editThisPage",
    "TOCCollapsible.toggleButtonLabel docs.paginator.previous docs.paginator.next colorToggle.ariaLabel.mode.dark",
    "blog.archive.title blog.authorsList.viewAll blog.paginator.newerEntries blog.paginator.olderEntries",
    "NotFound.title docs.breadcrumbs.home docs.paginator.previous docs.paginator.next ErrorPageContent.tryAgain",
)
NEXT = (
    "menu.home menu.archives menu.categories menu.tags menu.about menu.search",
    "sidebar.overview sidebar.toc sidebar.links menu.schedule menu.sitemap",
    "title.archive title.category title.tag post.read_more post.related_posts",
)
ROUNDCUBE = (
    "mail addressbook settings logout",
    "inbox drafts sent trash junk",
    "compose reply forward delete print mark",
    "subject from to date size priority",
    "preferences identities folders createfolder managefolders",
    "firstpage previouspage nextpage lastpage compose",
)
PHP = r"^\$(?:lang|labels)\['(\w+)'\]\s*=\s*'((?:[^'\\]|\\.)*)'"
SOURCES: dict[str, tuple[str, str, tuple[str, ...], str]] = {
    "tarteaucitron": (
        "banner",
        "package/lang/tarteaucitron.{}.js",
        TARTEAUCITRON,
        r'^\s*"?(\w+)"?: "((?:[^"\\]|\\.)*)"',
    ),
    "klaro": ("banner", "package/src/translations/{}.yml", KLARO, ""),
    "mediawiki": ("menu", "**/mediawiki/languages/i18n/{}.json", MEDIAWIKI, ""),
    "dokuwiki": ("menu", "usr/share/dokuwiki/inc/lang/{}/lang.php", DOKUWIKI, PHP),
    "docusaurus": ("menu", "package/locales/{}/theme-common.json", DOCUSAURUS, ""),
    "next": ("menu", "package/languages/{}.yml", NEXT, ""),
    "roundcube": ("menu", "usr/share/roundcube/program/localization/{}/labels.inc", ROUNDCUBE, PHP),
}
"""Package -> kind, file of a language, keys in the order of a page, and how a line has a key and a string."""
CODES = {
    "mediawiki": {"zh": "zh-hans"},
    "docusaurus": {"zh": "zh-Hans"},
    "next": {"zh": "zh-CN"},
    "roundcube": {"de": "de_DE", "fr": "fr_FR", "zh": "zh_CN", "ru": "ru_RU", "hi": "hi_IN", "ja": "ja_JP"},
}
HELD_OUT = ("docusaurus", "next", "roundcube")


def measure() -> tuple[dict, list[dict]]:
    """Share of banners and menus that goes, by language, kind and package."""
    rows = [row for language in LANGUAGES for row in _rows(language)]
    gone = verdicts([row["text"] for row in rows])
    for number, row in enumerate(rows):
        row |= {"rule": gone.get(number, ""), "held_out": row["package"] in HELD_OUT}
    results: dict[str, Any] = {"junk_removed": _share(rows), "junk_rules": dict(Counter(gone.values()))}
    for field in ("language", "kind", "package", "held_out"):
        for name in sorted({row[field] for row in rows}):
            results[f"junk_removed_{field}_{name}"] = _share([row for row in rows if row[field] == name])
    write_rows("foreign-junk", [{key: value for key, value in row.items() if key != "text"} for row in rows])
    says = "banners and menus that are dropped; the author of the rules had seen strings of four of seven packages"
    return results, [goal("junk_removed", results["junk_removed"]["share"], 0.7, "higher", says)]


def _share(rows: list[dict]) -> dict[str, float]:
    return share(sum(bool(row["rule"]) for row in rows), len(rows))


def _rows(language: str) -> Iterator[dict[str, Any]]:
    """Language, kind, package, keys and text of each; a menu in lines, and in one line with bars; each text once."""
    seen = set[str]()
    for package, (kind, pattern, keys, line) in SOURCES.items():
        strings = _strings(pattern.format(CODES.get(package, {}).get(language, language)), line)
        for sign in ("\n",) if kind == "banner" else ("\n", " | "):
            for each in keys:
                found = [strings[key] for key in each.split() if strings.get(key, "").strip()]
                text = sign.join(found)
                if len(found) >= 3 and len(text) >= 20 and text not in seen:
                    seen.add(text)
                    yield {"language": language, "kind": kind, "package": package, "keys": each, "text": text}


def _strings(pattern: str, line: str) -> dict[str, str]:
    """Strings of a file of translations by key; a regular expression tells how a line of it has them, else it is YAML
    or JSON, whose nested keys are joined by dots."""
    strings: dict[str, str] = {}
    for path in files(pattern):
        text = path.read_text()
        nested = {".yml": yaml.safe_load, ".json": json.loads}.get(path.suffix)
        found = _flat(nested(text)) if nested else re.findall(line, text, re.MULTILINE)
        strings |= {key.removeprefix("theme."): value for key, value in found}
    return strings


def _flat(values: dict[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{key}.")
        elif isinstance(value, str):
            yield f"{before}{key}", value

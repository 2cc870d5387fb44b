"""Gender swap: the same text with `he` for `she`, `queen` for `king`, and back (counterfactual data augmentation).

Lu et al. 2018 (arXiv 1807.11714) proposed it against occupation bias; Zhao et al. 2018 (arXiv 1804.06876) for
coreference. A word list does the nouns. The grammar is in three pronouns: `her` is `him` or `his`, `his` is `her` or
`hers`. What follows decides: before a noun phrase they are possessive, before a function word or a stop they are not.
That is a heuristic, wrong where English is ambiguous (`I saw her duck`); its tests state how often it is right.

Not swapped: words that mean something else as often (`master`, `host`, `count`, `guy`), `man` where it is a page or a
verb, names, what looks like code (`self.he`, `$king`). Genders beyond two are not in the list:
a swap cannot represent them.
"""

import re

VERSION = 1
"""Of the word lists and rules: it is in the provenance of every swapped document."""
TRANSFORM = f"gender_swap_v{VERSION}"

PAIRS = """
he she|himself herself|man woman|men women|boy girl|boys girls|male female|males females|gentleman gentlewoman
gentlemen gentlewomen|father mother|fathers mothers|dad mom|dads moms|daddy mommy|papa mama|son daughter|sons daughters
brother sister|brothers sisters|uncle aunt|uncles aunts|nephew niece|nephews nieces|husband wife|husbands wives
boyfriend girlfriend|boyfriends girlfriends|groom bride|bridegroom bride|widower widow|widowers widows|king queen
kings queens|prince princess|princes princesses|duke duchess|dukes duchesses|emperor empress|emperors empresses
baron baroness|barons baronesses|lord lady|lords ladies|sir madam|sirs madams|mr mrs|actor actress|actors actresses
waiter waitress|waiters waitresses|steward stewardess|hero heroine|heroes heroines|heir heiress|heirs heiresses
wizard witch|wizards witches|monk nun|monks nuns|lad lass|lads lasses|fiance fiancee|grandfather grandmother
grandfathers grandmothers|grandpa grandma|grandson granddaughter|grandsons granddaughters|stepfather stepmother
stepson stepdaughter|stepbrother stepsister|godfather godmother|godson goddaughter|fatherhood motherhood
brotherhood sisterhood|boyhood girlhood|manhood womanhood|fatherly motherly|brotherly sisterly|manly womanly
chairman chairwoman|chairmen chairwomen|businessman businesswoman|businessmen businesswomen|policeman policewoman
policemen policewomen|spokesman spokeswoman|congressman congresswoman|salesman saleswoman|craftsman craftswoman
sportsman sportswoman|countryman countrywoman|countrymen countrywomen|landlord landlady|landlords landladies
masculine feminine|masculinity femininity|patriarch matriarch|paternal maternal|paternity maternity
"""


def _table(listing: str) -> dict[str, str]:
    """Both directions of a list of pairs; where a word has two partners the first one listed is its partner."""
    table: dict[str, str] = {}
    for pair in listing.replace("\n", "|").strip("|").split("|"):
        left, right = pair.split()
        table.setdefault(left, right)
        table.setdefault(right, left)
    return table


WORDS = _table(PAIRS) | {"ms": "mr", "ma'am": "sir"}
PRONOUNS = ("her", "hers", "him", "his")

FUNCTION_WORDS = """
a about above across after again against alone along also although always am among an and another any anything are
around as at away back be because been before behind being below beside between beyond both but by can could did do
does doing doth down during each either enough even ever every everything except for forth from get go had has hath
have having he hence here herself himself hither how i if immediately in inside instead into is it just last like
likewise make may me might more most much must my near never no nor not nothing now of off often on once one or our
out outside over past perhaps quickly quietly rather run say see shall she should since sing slowly so some something
soon still such take than that the thee their them then there these they this thither those thou though through
throughout thy till to today together tomorrow tonight too toward towards twice under until up upon us very was we
well went were what when where whether which while who whom whose why will with within without would ye yes yesterday
yet you your
"""
FUNCTION_WORD_SET = frozenset(FUNCTION_WORDS.split())
"""Words that do not begin what is possessed: after `her` they mean `him`, after `his` they mean `hers`."""
BARE_VERBS = """
be come cry do die enter fall feel find get give go have keep know laugh leave live rest run say see sing sit sleep
speak stand stay take talk think turn understand wait walk weep work
"""
BARE_VERB_SET = frozenset(BARE_VERBS.split())
MAKE_HER_DO = re.compile(r"\b(?:let|makes?|made|saw|hear|heard|watch|watched|help|helped|bid) $", re.IGNORECASE)
"""Before `her` and a bare verb, `her` is who does it: `made her cry`."""
NOT_ADVERBS = ("only", "early", "family", "daily", "holy", "lovely", "lonely", "friendly", "ugly", "silly", "elderly")
OTHER_SENSE = re.compile(
    r"man(?=[ -]pages?\b|\(|-(?:made|in-the-middle|hours?|of-war)\b)|(?<=\bto )man\b"
    r"|(?:fe)?male(?=[ -](?:connector|plug|end|thread))",
    re.IGNORECASE,
)
"""Where a listed word is no person: a manual page, to man a desk, man-made, a male plug."""

_NEXT_WORD = re.compile(r"[ \t]*(?:\n[ \t]*)?([^\W\d_][\w'-]*)?")


_LONGEST_FIRST = sorted({*WORDS, *PRONOUNS}, key=lambda word: (-len(word), word))
_WORDS_PATTERN = re.compile(
    rf"(?<![\w.$@/-])(?:{'|'.join(map(re.escape, _LONGEST_FIRST))})(?![\w@/]|\.\w)", re.IGNORECASE
)


def swap(text: str) -> str:
    """The English text with the gender of its words exchanged; all else, case and spacing are as they were."""

    def other(match: re.Match[str]) -> str:
        word = match.group()
        if word.lower() in PRONOUNS:
            return _cased(_pronoun(word.lower(), text, match.start(), match.end()), word)
        if OTHER_SENSE.match(text, match.start()):
            return word
        return _cased(WORDS[word.lower()], word)

    return _WORDS_PATTERN.sub(other, text)


def _pronoun(word: str, text: str, start: int, end: int) -> str:
    if word in ("him", "hers"):
        return {"him": "her", "hers": "his"}[word]
    possessive = _before_noun_phrase(text, start, end)
    if word == "her":
        return "his" if possessive else "him"
    return "her" if possessive else "hers"


def _before_noun_phrase(text: str, start: int, end: int) -> bool:
    """Whether the pronoun at `start:end` stands before what is possessed, judged by the next word."""
    match = _NEXT_WORD.match(text, end)
    following = (match.group(1) or "").lower() if match else ""
    if not following:  # a quotation, emphasis or a number may still be a noun phrase; a stop is none
        return re.match(r"[ ][\"'`*_\d]", text[end : end + 2]) is not None
    if following in BARE_VERB_SET and MAKE_HER_DO.search(text, max(0, start - 12), start):
        return False
    if following.endswith("ly"):
        return following in NOT_ADVERBS
    return following not in FUNCTION_WORD_SET


def _cased(word: str, like: str) -> str:
    """`word` in the case of `like`: lower, Capitalised or UPPER."""
    if like.isupper() and len(like) > 1:
        return word.upper()
    return word.capitalize() if like[0].isupper() else word

"""Minimal pairs made from templates: two sentences that differ in one word, of which one is grammatical.

The idea is BLiMP's (Warstadt et al. 2020); the sentences are generated here from a small vocabulary of words that both
plays and documentation use, so that they cost no download and no licence, and were in nobody's training data. Each
phenomenon changes one word, wherever English allows to one of the same length (`is`/`are`, `this`/`these`).
"""

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MinimalPair:
    """Two sentences, the grammatical one first; `head` is the word the pair is about, by which pairs are clustered."""

    phenomenon: str
    good: str
    bad: str
    head: str


NOUNS = (
    *(("name", "names"), ("word", "words"), ("letter", "letters"), ("book", "books"), ("place", "places")),
    *(("house", "houses"), ("friend", "friends"), ("king", "kings"), ("line", "lines"), ("list", "lists")),
    *(("number", "numbers"), ("point", "points"), ("table", "tables"), ("value", "values"), ("key", "keys")),
    *(("file", "files"), ("page", "pages"), ("part", "parts"), ("hand", "hands"), ("day", "days")),
)
IRREGULAR_NOUNS = (("man", "men"), ("woman", "women"), ("child", "children"), ("foot", "feet"), ("mouse", "mice"))
ADJECTIVES = ("new", "old", "good", "small", "great", "first", "last", "long", "short", "true")
PLACES = ("here", "there", "in the house", "on the table", "at the end", "in the book")
PEOPLE = (
    *(("king", "himself", "herself"), ("queen", "herself", "himself"), ("father", "himself", "herself")),
    *(("mother", "herself", "himself"), ("brother", "himself", "herself"), ("sister", "herself", "himself")),
    *(("lord", "himself", "herself"), ("lady", "herself", "himself"), ("son", "himself", "herself")),
    *(("daughter", "herself", "himself"), ("man", "himself", "herself"), ("woman", "herself", "himself")),
)
PEOPLE_VERBS = ("saw", "knew", "called", "found", "heard", "left", "asked", "helped")
VERBS = (
    *(("write", "wrote", "written"), ("speak", "spoke", "spoken"), ("break", "broke", "broken")),
    *(("take", "took", "taken"), ("give", "gave", "given"), ("know", "knew", "known"), ("see", "saw", "seen")),
    *(("choose", "chose", "chosen"), ("begin", "began", "begun"), ("do", "did", "done"), ("hide", "hid", "hidden")),
)
OBJECTS = {
    "write": ("the letter", "the name", "the book"),
    "speak": ("the word", "the truth", "the name"),
    "break": ("the line", "the table", "the law"),
    "take": ("the book", "the key", "the letter"),
    "give": ("the answer", "the name", "the word"),
    "know": ("the answer", "the place", "the truth"),
    "see": ("the house", "the king", "the end"),
    "choose": ("the name", "the place", "the word"),
    "begin": ("the work", "the book", "the day"),
    "do": ("the work", "the thing", "the job"),
    "hide": ("the letter", "the key", "the truth"),
}
VOWEL_WORDS = ("old", "open", "empty", "image", "object", "error", "answer", "index", "example", "end", "order", "hour")
CONSONANT_WORDS = ("new", "long", "small", "name", "word", "list", "file", "king", "book", "table", "value", "house")


def _agreement(draw: random.Random) -> tuple[str, str, str]:
    """The verb agrees with its subject."""
    one, many = draw.choice(NOUNS)
    place = draw.choice(PLACES)
    adjective = draw.choice(("", f"{draw.choice(ADJECTIVES)} "))
    verbs = draw.choice((("is", "are"), ("was", "were"), ("has been", "have been")))
    plural = draw.randrange(2)
    subject = f"The {adjective}{(one, many)[plural]}"
    return f"{subject} {verbs[plural]} {place}.", f"{subject} {verbs[1 - plural]} {place}.", one


def _agreement_across(draw: random.Random) -> tuple[str, str, str]:
    """The verb agrees with its subject across a nearer noun of the other number."""
    (one, many), (other_one, other_many) = draw.sample(NOUNS, 2)
    plural = draw.randrange(2)
    link = draw.choice(("of", "in", "with", "near"))
    subject = f"The {(one, many)[plural]} {link} the {(other_many, other_one)[plural]}"
    verbs = draw.choice((("is", "are"), ("was", "were")))
    rest = draw.choice(ADJECTIVES)
    return f"{subject} {verbs[plural]} {rest}.", f"{subject} {verbs[1 - plural]} {rest}.", one


def _determiner(draw: random.Random) -> tuple[str, str, str]:
    """`this` and `that` take the singular, `these` and `those` the plural."""
    one, many = draw.choice(NOUNS + IRREGULAR_NOUNS)
    determiners = draw.choice((("this", "these"), ("that", "those")))
    plural = draw.randrange(2)
    start = draw.choice(("We know", "He saw", "They found", "I have", "You can see", "She called"))
    noun = (one, many)[plural]
    good, bad = (f"{start} {determiners[number]} {noun}." for number in (plural, 1 - plural))
    return good, bad, one


def _quantifier(draw: random.Random) -> tuple[str, str, str]:
    """`many` and `few` take the plural, `each` and `every` the singular."""
    one, many = draw.choice(NOUNS + IRREGULAR_NOUNS)
    words = draw.choice((("every", "many"), ("each", "few"), ("every", "several")))
    plural = draw.randrange(2)
    start = draw.choice(("We know", "He saw", "They found", "I have", "You can see", "She called"))
    nouns = (one, many)
    return f"{start} {words[plural]} {nouns[plural]}.", f"{start} {words[plural]} {nouns[1 - plural]}.", one


def _anaphor_gender(draw: random.Random) -> tuple[str, str, str]:
    """A reflexive has the gender of its antecedent."""
    person, good, bad = draw.choice(PEOPLE)
    verb, determiner = draw.choice(PEOPLE_VERBS), draw.choice(("The", "My", "His", "Our"))
    return f"{determiner} {person} {verb} {good}.", f"{determiner} {person} {verb} {bad}.", person


def _anaphor_number(draw: random.Random) -> tuple[str, str, str]:
    """A reflexive has the number of its antecedent."""
    one, good, _ = draw.choice([person for person in PEOPLE if person[0] not in ("man", "woman", "lady")])
    verb, determiner = draw.choice(PEOPLE_VERBS), draw.choice(("The", "My", "His", "Our"))
    forms = (good, "themselves")
    plural = draw.randrange(2)
    subject = f"{determiner} {(one, f'{one}s')[plural]} {verb}"
    return f"{subject} {forms[plural]}.", f"{subject} {forms[1 - plural]}.", one


def _irregular(draw: random.Random) -> tuple[str, str, str]:
    """After `have` stands the participle, alone the past tense."""
    base, past, participle = draw.choice(VERBS)
    subject = draw.choice(("They", "We", "I", "You", "The men", "His friends"))
    perfect = draw.randrange(2)
    start = f"{subject} have" if perfect else subject
    thing = draw.choice(OBJECTS[base])
    good, bad = ((past, participle), (participle, past))[perfect]
    return f"{start} {good} {thing}.", f"{start} {bad} {thing}.", base


def _auxiliary(draw: random.Random) -> tuple[str, str, str]:
    """After a modal or `do` stands the bare verb."""
    base, past, _ = draw.choice(VERBS)
    subject = draw.choice(("They", "We", "You", "The king", "His friend", "The men"))
    helper = draw.choice(("can", "will", "must", "did not", "may", "should"))
    thing = draw.choice(OBJECTS[base])
    return f"{subject} {helper} {base} {thing}.", f"{subject} {helper} {past} {thing}.", base


def _negation(draw: random.Random) -> tuple[str, str, str]:
    """`ever` and `any` need a negation before them."""
    base, _, participle = draw.choice(VERBS)
    person = draw.choice(("man", "king", "friend", "woman", "child", "lord"))
    thing = draw.choice(OBJECTS[base])
    if draw.randrange(2):
        rest = f"{person} has ever {participle} {thing}."
        return f"No {rest}", f"The {rest}", base
    rest = f"{base} anything at all."
    subject = draw.choice(("They", "We", "You", "I"))
    return f"{subject} never {rest}", f"{subject} often {rest}", base


def _case(draw: random.Random) -> tuple[str, str, str]:
    """Subjects are in the nominative, objects in the accusative."""
    pronouns = (("he", "him"), ("she", "her"), ("they", "them"), ("we", "us"), ("I", "me"))
    nominative, accusative = draw.choice(pronouns)
    verb = draw.choice(PEOPLE_VERBS)
    person = draw.choice(PEOPLE)[0]
    if draw.randrange(2):
        end = draw.choice(("again", "today", "there", "then"))
        return f"The {person} {verb} {accusative} {end}.", f"The {person} {verb} {nominative} {end}.", accusative
    start = draw.choice(("Then", "Today", "There", "Now"))
    return f"{start} {nominative} {verb} the {person}.", f"{start} {accusative} {verb} the {person}.", accusative


def _article(draw: random.Random) -> tuple[str, str, str]:
    """`an` before a vowel, `a` before a consonant."""
    vowel = draw.randrange(2)
    word = draw.choice((CONSONANT_WORDS, VOWEL_WORDS)[vowel])
    tail = f"{word} one" if word in (*ADJECTIVES, "open", "empty") else word
    start = draw.choice(("This is", "It was", "We have", "He found", "She made", "You need"))
    articles = ("a", "an")
    return f"{start} {articles[vowel]} {tail}.", f"{start} {articles[1 - vowel]} {tail}.", word


PHENOMENA: dict[str, Callable[[random.Random], tuple[str, str, str]]] = {
    "subject_verb_agreement": _agreement,
    "agreement_across_phrase": _agreement_across,
    "determiner_noun": _determiner,
    "quantifier_noun": _quantifier,
    "anaphor_gender": _anaphor_gender,
    "anaphor_number": _anaphor_number,
    "irregular_forms": _irregular,
    "auxiliary_verb": _auxiliary,
    "negation_licensing": _negation,
    "pronoun_case": _case,
    "article_phonology": _article,
}


def pairs(phenomenon: str, seed: int, n: int) -> list[MinimalPair]:
    """Up to `n` different pairs of a phenomenon (fewer if the templates hold no more); the same for the same seed."""
    draw = random.Random(f"greenhouse minimal pairs {phenomenon} {seed}")
    found: dict[str, MinimalPair] = {}
    for _ in range(40 * n):
        if len(found) == n:
            break
        good, bad, head = PHENOMENA[phenomenon](draw)
        assert good != bad, good
        found.setdefault(good, MinimalPair(phenomenon, good, bad, head))
    return list(found.values())

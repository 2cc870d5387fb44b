"""Task `minimal_pairs`: whether the model finds the grammatical sentence of two more likely.

Accuracy of "the good sentence has the higher total log-probability" (BLiMP's rule), per phenomenon,
beside n-gram models of the text the model was trained on. The idea is BLiMP's (Warstadt et al.
2020); the sentences are made from a small vocabulary of words that plays and documentation use: no
download, no licence, and nobody's training data. Each template makes two pairs in which every word
stands as often in good as in bad sentences (The king is, *the king are; the kings are, *the kings
is), so that unigrams are at one half.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from components.counting.registry import posed
from components.stages.evaluate.tasks.task import Curve, EvalContext, TaskResult, item_id


@dataclass(frozen=True, slots=True)
class MinimalPair:
    """Two sentences, the grammatical one first; `head` is the word the pair is about, by which pairs are clustered."""

    phenomenon: str
    good: str
    bad: str
    head: str


Twins = tuple[str, tuple[tuple[str, str], tuple[str, str]]]
"""The head, and two pairs of a good and a bad sentence with the same words in good and in bad ones."""

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
    *(("king", "queen"), ("father", "mother"), ("brother", "sister"), ("lord", "lady"), ("son", "daughter")),
    *(("boy", "girl"), ("uncle", "aunt"), ("prince", "princess")),
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


SUBJECTS = ("We know", "He saw", "They found", "I have", "You can see", "She called")


def _crossed(head: str, left: tuple[str, str], right: tuple[str, str], form: str) -> Twins:
    """Twins of a form with two gaps: `left[i]` goes with `right[i]` alone."""
    first, second = ((form.format(left[i], right[i]), form.format(left[i], right[1 - i])) for i in range(2))
    return head, (first, second)


def _agreement(draw: random.Random) -> Twins:
    """The verb agrees with its subject."""
    noun = draw.choice(NOUNS)
    adjective = draw.choice(("", f"{draw.choice(ADJECTIVES)} "))
    verbs = draw.choice((("is", "are"), ("was", "were"), ("has been", "have been")))
    return _crossed(noun[0], noun, verbs, f"The {adjective}{{}} {{}} {draw.choice(PLACES)}.")


def _agreement_across(draw: random.Random) -> Twins:
    """The verb agrees with its subject across a nearer noun of the other number."""
    (one, many), (other_one, other_many) = draw.sample(NOUNS, 2)
    link = draw.choice(("of", "in", "with", "near"))
    subjects = (f"{one} {link} the {other_many}", f"{many} {link} the {other_one}")
    verbs = draw.choice((("is", "are"), ("was", "were")))
    return _crossed(one, subjects, verbs, f"The {{}} {{}} {draw.choice(ADJECTIVES)}.")


def _determiner(draw: random.Random) -> Twins:
    """`this` and `that` take the singular, `these` and `those` the plural."""
    noun = draw.choice(NOUNS + IRREGULAR_NOUNS)
    determiners = draw.choice((("this", "these"), ("that", "those")))
    return _crossed(noun[0], determiners, noun, f"{draw.choice(SUBJECTS)} {{}} {{}}.")


def _quantifier(draw: random.Random) -> Twins:
    """`many` and `few` take the plural, `each` and `every` the singular."""
    noun = draw.choice(NOUNS + IRREGULAR_NOUNS)
    words = draw.choice((("every", "many"), ("each", "few"), ("every", "several")))
    return _crossed(noun[0], words, noun, f"{draw.choice(SUBJECTS)} {{}} {{}}.")


def _anaphor_gender(draw: random.Random) -> Twins:
    """A reflexive has the gender of its antecedent."""
    pair = draw.choice(PEOPLE)
    verb, determiner = draw.choice(PEOPLE_VERBS), draw.choice(("The", "My", "His", "Our"))
    return _crossed(pair[0], pair, ("himself", "herself"), f"{determiner} {{}} {verb} {{}}.")


def _anaphor_number(draw: random.Random) -> Twins:
    """A reflexive has the number of its antecedent."""
    gender = draw.randrange(2)
    one = draw.choice([people[gender] for people in PEOPLE if people[gender] not in ("lady", "princess")])
    verb, determiner = draw.choice(PEOPLE_VERBS), draw.choice(("The", "My", "His", "Our"))
    reflexives = (("himself", "herself")[gender], "themselves")
    return _crossed(one, (one, f"{one}s"), reflexives, f"{determiner} {{}} {verb} {{}}.")


def _irregular(draw: random.Random) -> Twins:
    """After `have` stands the participle, alone the past tense."""
    base, past, participle = draw.choice(VERBS)
    subject = draw.choice(("They", "We", "I", "You", "The men", "His friends"))
    noun = draw.choice(OBJECTS[base])
    return _crossed(base, (subject, f"{subject} have"), (past, participle), f"{{}} {{}} {noun}.")


def _auxiliary(draw: random.Random) -> Twins:
    """After a modal or `do` stands the bare verb, which a third person does not take alone."""
    base, past, _ = draw.choice(VERBS)
    subject = draw.choice(("He", "She", "The king", "His friend", "The man"))
    helper = draw.choice(("can", "will", "must", "did not", "may", "should"))
    noun = draw.choice(OBJECTS[base])
    return _crossed(base, (f"{subject} {helper}", subject), (base, past), f"{{}} {{}} {noun}.")


def _case(draw: random.Random) -> Twins:
    """Subjects are in the nominative, objects in the accusative."""
    nominative, accusative = draw.choice((("he", "him"), ("she", "her"), ("they", "them"), ("we", "us"), ("I", "me")))
    verb, person = draw.choice(PEOPLE_VERBS), draw.choice(PEOPLE)[draw.randrange(2)]
    adverb = draw.choice(("then", "today", "there", "now"))
    objects = [f"{adverb.capitalize()} the {person} {verb} {pronoun}." for pronoun in (accusative, nominative)]
    subjects = [f"{adverb.capitalize()} {pronoun} {verb} the {person}." for pronoun in (nominative, accusative)]
    return accusative, ((objects[0], objects[1]), (subjects[0], subjects[1]))


def _article(draw: random.Random) -> Twins:
    """`an` before a vowel, `a` before a consonant."""
    words = draw.choice(CONSONANT_WORDS), draw.choice(VOWEL_WORDS)
    tails = tuple(f"{word} one" if word in (*ADJECTIVES, "open", "empty") else word for word in words)
    start = draw.choice(("This is", "It was", "We have", "He found", "She made", "You need"))
    return _crossed(words[0], ("a", "an"), (tails[0], tails[1]), f"{start} {{}} {{}}.")


PHENOMENA: dict[str, Callable[[random.Random], Twins]] = {
    "subject_verb_agreement": _agreement,
    "agreement_across_phrase": _agreement_across,
    "determiner_noun": _determiner,
    "quantifier_noun": _quantifier,
    "anaphor_gender": _anaphor_gender,
    "anaphor_number": _anaphor_number,
    "irregular_forms": _irregular,
    "auxiliary_verb": _auxiliary,
    "pronoun_case": _case,
    "article_phonology": _article,
}


def pairs(phenomenon: str, seed: int, n: int) -> list[MinimalPair]:
    """Up to `n` different pairs of a phenomenon (fewer if the templates hold no more); the same for the same seed."""
    draw = random.Random(f"greenhouse minimal pairs {phenomenon} {seed}")
    by_sentence: dict[str, MinimalPair] = {}
    for _ in range(20 * n):
        if len(by_sentence) >= n - 1:
            break
        head, sentences = PHENOMENA[phenomenon](draw)
        # Both sentences or none, and none twice: the balance of words is exact.
        if not any(good in by_sentence for good, _ in sentences):
            by_sentence |= {good: MinimalPair(phenomenon, good, bad, head) for good, bad in sentences}
    return list(by_sentence.values())


def minimal_pairs(context: EvalContext) -> TaskResult:
    """Score generated pairs."""
    context.require_english()
    result = TaskResult("minimal_pairs", unit="words")
    model = context.causal
    generated = [pair for name in PHENOMENA for pair in pairs(name, context.params.seed, context.params.items)]
    texts = [text for pair in generated for text in (pair.good, pair.bad)]
    hits = _hits([scores.total for scores in model.score([model.encode(text)[: model.context + 1] for text in texts])])
    sizes = posed("text", context.training_text, texts, alone=True)
    by_rule = {name: _hits([-bits for bits in sized]) for name, sized in sizes.items()}
    for number, (pair, hit) in enumerate(zip(generated, hits, strict=True)):
        key, cluster = item_id(pair.good, pair.bad), f"{pair.phenomenon}/{pair.head}"
        rules = {name: right[number] for name, right in by_rule.items()}
        result.item("accuracy", key, hit, condition=pair.phenomenon, cluster=cluster, rules=rules)
    total = result.estimate("accuracy")
    result.metric("accuracy", total)
    baseline = result.baseline("accuracy")
    result.score("accuracy", "minimal pairs", total, baseline, f"{len(PHENOMENA)} phenomena", headline=True)
    by_phenomenon = {name: result.estimate("accuracy", name) for name in sorted(PHENOMENA)}
    result.facts["by_phenomenon"] = {name: accuracy.as_dict() for name, accuracy in by_phenomenon.items()}
    curve = Curve("minimal_pairs", "Minimal pairs by phenomenon", "", "accuracy", [], 0.5, "bar")
    for name in PHENOMENA:
        curve.add(name.replace("_", " "), by_phenomenon[name])
    result.curves.append(curve)
    return result


def _hits(totals: Sequence[float]) -> list[float]:
    """1 where the first of two neighbouring totals is the larger, one half where they are equal."""
    pairs = zip(totals[::2], totals[1::2], strict=True)
    return [((good > bad) + (good >= bad)) / 2.0 for good, bad in pairs]

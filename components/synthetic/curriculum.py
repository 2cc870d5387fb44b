"""Curriculum: generated text that teaches a small model to use its context: copy, recall, label mapping, sums.

A few million tokens of natural text teach a model of a few million parameters none of these:
k-shot, needle and copy stay at chance. A share of short, regular items is meant to, and the
evaluate stage scores fresh items of the same forms. Both sides call `items`; what keeps the
evaluation honest is the split: the problem behind an item (the pair of numbers, the sequence, the
set of pairs) is hashed, one problem in eight is for tests, and no training item is ever made from
it.

Every symbol that matters is one token to our tokenizer, the same one at each of its places: letters
and words stand behind a space (` k`), digits do not (it splits numbers into digits, and a space
before one is a token of its own).

    copy: q d x m = q d x m                  answer " q d x m"
    recall: k B, d M ? d M, k B, k B, d M    answer " M" (to the first key asked; training text goes on asking)
    recall: Rosu B, Kifa M ? Kifa M          names: the same with invented names, each of several tokens, as keys
    label: red K, dog M, blue K, cat M       answer " M" (two of four word classes, letters drawn per item)
    sum: 47+38= 85                           answer " 85"
    steps: 47+38; 7+8=15;4+3+1=8= 85         answer all behind "38;"; `final` is " 85"
"""

import hashlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Literal

TASKS = ("copy", "recall", "mapping", "arithmetic", "names")
VERSION = 4
"""Changes when a form changes: items of two versions are not to be compared."""
TEST_ONE_IN = 8
"""One problem in this many is kept for tests."""

MOST_MISSES = 20_000
"""Draws in a row without a new item of the split after which it is taken to be used up."""

TURNS = 12
"""What the training text of an item goes on to ask, about: most of its tokens then teach, and few introduce."""
LETTERS = tuple("bcdfghjklmnpqrstvwxz")
LABELS = tuple("BDFGHJKLMNPQRSTVWXYZ")
CLASSES: dict[str, tuple[str, ...]] = {
    "animal": ("dog", "cat", "horse", "bird", "fish", "cow", "sheep", "lion", "bear", "wolf", "mouse", "fox"),
    "colour": ("red", "blue", "green", "white", "black", "brown", "yellow", "grey", "purple", "orange", "pink", "gold"),
    "body": ("hand", "foot", "head", "arm", "leg", "eye", "ear", "nose", "mouth", "knee", "neck", "finger"),
    "food": ("bread", "milk", "meat", "cheese", "butter", "rice", "egg", "apple", "salt", "sugar", "soup", "honey"),
}
ONSETS, VOWELS, CODAS = tuple("bdfgklmnprtvz"), "aeiou", ("", "l", "n", "r", "s")
NAME_SYLLABLES = (2, 4)
"""Syllables of a name here. Those of the task `open_book` have three: no name is in both."""
Split = Literal["train", "test"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem with its one right answer.

    Attributes:
        task: one of `TASKS`.
        form: the word the prompt begins with: `copy`, `recall`, `label`, `sum` or `steps`.
        prompt: what a model is given; does not end in a space.
        answer: the text that should follow; begins with a space. `prompt + answer + rest` is the
            training text.
        rest: further text of the same item that training sees (recall: more questions).
        final: the end of `answer` that is scored (differs from it only for `steps`).
        choices: what `final` could be, for a score by likelihood with chance 1 / len(choices);
            empty: no small set.
        difficulty: what was asked for or drawn: length, pairs, depth (0 = first pair), shots,
            digits.
    """

    task: str
    form: str
    prompt: str
    answer: str
    rest: str
    final: str
    choices: tuple[str, ...]
    difficulty: dict[str, int]

    @property
    def text(self) -> str:
        """The item as training text: one line, no newline."""
        return self.prompt + self.answer + self.rest


def items(task: str, seed: int, n: int, *, split: Split = "train", **difficulty: int) -> list[Problem]:
    """`n` items of `task`; the same arguments give the same items.

    Args:
        task: one of `TASKS`.
        seed: any integer; other seeds give other items of the same split.
        n: how many. Test items are distinct; training items may repeat where problems are few
            (sums).
        split: whose problems: no problem is in both.
        **difficulty: fixes what is otherwise drawn per item. copy: `length` (2-20). recall and
            names: `pairs` (2-20), `depth` (which pair is asked first, 0-based). mapping: `shots`
            (0-22; in training 0-10). arithmetic: `digits` (1-6), `steps` (0 or 1).

    Raises:
        ValueError: unknown task or difficulty, a value out of range, or fewer than `n` distinct
            test items exist.
    """
    problems = list(islice(stream(task, seed, split=split, **difficulty), n))
    if len(problems) < n:
        raise ValueError(
            f"only {len(problems)} distinct {split} items of {task} with {difficulty} found, {n} asked; ask for fewer"
        )
    return problems


def stream(task: str, seed: int, *, split: Split = "train", **difficulty: int) -> Iterator[Problem]:
    """The items that `items` returns, one at a time; endless for training, until new ones get too rare for tests."""
    if task not in MAKERS:
        raise ValueError(f"unknown curriculum task {task!r}; one of {', '.join(TASKS)}")
    _check(task, split, difficulty)
    draw = random.Random(f"greenhouse curriculum {VERSION} {task} {split} {seed}")
    seen: set[tuple] = set()
    misses = 0
    while misses < MOST_MISSES:
        problem, item = MAKERS[task](draw, split, difficulty)
        key = (item.prompt, item.answer, item.choices)
        if is_test(task, problem) != (split == "test") or key in seen:
            misses += 1
            continue
        misses = 0
        if split == "test":
            seen.add(key)
        yield item


def is_right(text: str, final: str) -> bool:
    """Whether a text that a model wrote is the right answer, or ends in `=` and it: steps before it are its own."""
    return final.strip() in (text.strip(), text.rsplit("=", 1)[-1].strip())


@lru_cache(100_000)
def is_test(task: str, problem: str) -> bool:
    """Whether the problem (see the makers) belongs to the tests. Fixed for all seeds and runs."""
    digest = hashlib.blake2b(f"{VERSION} {task} {problem}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % TEST_ONE_IN == 0


LIMITS: dict[str, dict[str, tuple[int, int]]] = {
    "copy": {"length": (2, 20)},
    "recall": {"pairs": (2, 20), "depth": (0, 19)},
    "names": {"pairs": (2, 20), "depth": (0, 19)},
    "mapping": {"shots": (0, 22)},
    "arithmetic": {"digits": (1, 6), "steps": (0, 1)},
}


def _check(task: str, split: str, difficulty: dict[str, int]) -> None:
    for name, value in difficulty.items():
        if name not in LIMITS[task]:
            raise ValueError(f"curriculum task {task} has no difficulty {name!r}; one of {', '.join(LIMITS[task])}")
        low, high = LIMITS[task][name]
        high = 10 if name == "shots" and split == "train" else high
        if not low <= value <= high:
            raise ValueError(f"curriculum task {task}: {name} = {value}, allowed {low} to {high}")
    if "depth" in difficulty and difficulty["depth"] >= difficulty.get("pairs", 2):
        raise ValueError(f"curriculum task {task}: depth = {difficulty['depth']} needs more pairs than that")


HashedProblem = tuple[str, Problem]
"""The problem (which the split hashes: equal problems have equal answers) and the item."""


def _copy(draw: random.Random, split: str, difficulty: dict[str, int]) -> HashedProblem:
    length = difficulty.get("length") or _short(draw)
    sequence = f" {' '.join(draw.sample(LETTERS, length))}"
    rest = f" ={sequence}" * (TURNS // length)
    return sequence, Problem("copy", "copy", f"copy:{sequence} =", sequence, rest, sequence, (), {"length": length})


def _recall(draw: random.Random, split: str, difficulty: dict[str, int]) -> HashedProblem:
    """Distinct keys, distinct capitals as values: a rule blind to the key is right for one key of a list, whichever."""
    pairs = difficulty.get("pairs") or _short(draw)
    return _asked_of_pairs(draw, "recall", draw.sample(LETTERS, pairs), difficulty)


def _names(draw: random.Random, split: str, difficulty: dict[str, int]) -> HashedProblem:
    """Keys of several tokens: looking back for the last token alone is not enough where two names end alike."""
    pairs = difficulty.get("pairs") or _short(draw)
    names: dict[str, None] = {}
    while len(names) < pairs:
        names[invented_name(draw, draw.choice(NAME_SYLLABLES))] = None
    return _asked_of_pairs(draw, "names", list(names), difficulty)


def invented_name(draw: random.Random, syllables: int) -> str:
    """Random syllables, capitalised."""
    parts = [draw.choice(ONSETS) + draw.choice(VOWELS) for _ in range(syllables)]
    return ("".join(parts) + draw.choice(CODAS)).capitalize()


def _asked_of_pairs(draw: random.Random, task: str, keys: list[str], difficulty: dict[str, int]) -> HashedProblem:
    pairs = len(keys)
    values = dict(zip(keys, draw.sample(LABELS, pairs), strict=True))
    asked = [key for _ in range(1 + TURNS // pairs) for key in draw.sample(keys, pairs)]
    if "depth" in difficulty:
        asked = [keys[difficulty["depth"]], *asked]
    shown = "".join(f" {key} {values[key]}" for key in keys)
    answer = f" {values[asked[0]]}"
    rest = "".join(f" {key} {values[key]}" for key in asked[1:])
    facts = {"pairs": pairs, "depth": keys.index(asked[0])}
    choices = tuple(f" {value}" for value in sorted(values.values()))
    problem = " ".join(sorted(f"{key}{value}" for key, value in values.items()))
    return problem, Problem(task, "recall", f"recall:{shown} ? {asked[0]}", answer, rest, answer, choices, facts)


def _short(draw: random.Random) -> int:
    """2 to 8, short ones more often: what two alternatives teach is the way into longer lists."""
    return draw.randint(2, draw.randint(2, 8))


def _mapping(draw: random.Random, split: str, difficulty: dict[str, int]) -> HashedProblem:
    """Two word classes, a letter for each: the letters mean nothing outside the item, so zero shots is chance.

    The problem is the word asked with both letters. Training never shows a test word in an item of
    these two letters, so a right answer comes from the shots, however many are kept. The two are
    not told apart on purpose: were only the right letter kept from training, knowing by heart which
    letters a word had would be wrong more often than chance. From two shots on both letters are
    seen; of one letter alone, an item could be that of another problem.
    """
    shots = difficulty["shots"] if "shots" in difficulty else draw.randint(2, 8)
    kinds = draw.sample(sorted(CLASSES), 2)
    labels = draw.sample(LABELS, 2)
    words = [draw.sample(CLASSES[kind], len(CLASSES[kind])) for kind in kinds]
    if split == "train":
        words = [[word for word in kind if not is_test("mapping", _asked(word, labels))] for kind in words]
    turns = [*_balanced(draw, shots), draw.randrange(2)]
    *shown, (word, label) = [(words[turn].pop(), labels[turn]) for turn in turns]
    prompt = f"label:{''.join(f' {example} {letter}' for example, letter in shown)} {word}"
    rest = "".join(f" {example} {letter}" for example, letter in draw.sample(shown, len(shown)))
    answer, choices = f" {label}", tuple(f" {letter}" for letter in sorted(labels))
    return _asked(word, labels), Problem("mapping", "label", prompt, answer, rest, answer, choices, {"shots": shots})


def _asked(word: str, labels: list[str]) -> str:
    """A label problem: the word and the two letters, in alphabetical order."""
    return " ".join([word, *sorted(labels)])


def _balanced(draw: random.Random, shots: int) -> list[int]:
    """A random order of `shots` turns of two classes, as even as can be: no class of 12 words runs out."""
    turns = [index % 2 for index in range(shots)]
    if shots % 2 and draw.random() < 0.5:
        turns[-1] = 1
    draw.shuffle(turns)
    return turns


def _arithmetic(draw: random.Random, split: str, difficulty: dict[str, int]) -> HashedProblem:
    """Sums of two numbers of equal length. `sum` and `steps` share their problems, and so does a + b with b + a."""
    digits = difficulty.get("digits") or 2
    with_steps = bool(difficulty["steps"]) if "steps" in difficulty else draw.random() < 0.5
    low, high = (0, 9) if digits == 1 else (10 ** (digits - 1), 10**digits - 1)
    a, b = draw.randint(low, high), draw.randint(low, high)
    final = f" {a + b}"
    facts = {"digits": digits, "steps": int(with_steps)}
    problem = f"{min(a, b)}+{max(a, b)}"
    if not with_steps:
        prompt = f"sum: {a}+{b}="
        return problem, Problem("arithmetic", "sum", prompt, final, "", final, (), facts)
    answer = f" {scratchpad(a, b)}={final}"
    return problem, Problem("arithmetic", "steps", f"steps: {a}+{b};", answer, "", final, (), facts)


def scratchpad(a: int, b: int) -> str:
    """The column sums, ones first, each with its carry: `7+8=15;4+3+1=8` for 47 + 38."""
    length = max(len(str(a)), len(str(b)))
    columns, carry = [], 0
    for column in range(length):
        x, y = a // 10**column % 10, b // 10**column % 10
        total = x + y + carry
        columns.append(f"{x}+{y}{f'+{carry}' if carry else ''}={total}")
        carry = total // 10
    return ";".join(columns)


MAKERS: dict[str, Callable[[random.Random, str, dict[str, int]], HashedProblem]] = {
    "copy": _copy,
    "recall": _recall,
    "mapping": _mapping,
    "arithmetic": _arithmetic,
    "names": _names,
}

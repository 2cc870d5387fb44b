"""Questions that an adder or a copier answers, in English: the curriculum's problems as a visitor would ask them.

    What is 47+38?                47+38; 7+8=15;4+3+1=8= 85
    Which is larger, 47 or 38?    47
    Repeat: q d x m               q d x m

A chat tuned on documentation alone answers nothing that a person can check at a glance. These it
answers right, for it was trained on this form; that says nothing of other questions. What stands in
a problem kept for tests is in no training text: neither a sum nor a comparison of the same two
numbers, in either order.

Half of them are asked as above, the others in words that visitors used: taught the first form
alone, the model wrote nonsense after a space more or a question mark less. A sum is said again
before its steps, so that the answer goes on as pretraining's text does. Four times as many
questions as pairs of text. Questions on a passage (which name, which colour goes with what) stayed
at .8, words that were to be repeated at .3: neither is taught.
"""

import random
from collections.abc import Iterator
from itertools import islice
from string import ascii_letters, ascii_lowercase, digits

from components.instruction_pairs.examples import PromptPair
from components.synthetic.curriculum import Split, is_test, scratchpad

KINDS = {"sum": 0.5, "larger": 0.25, "copy": 0.25}
"""Kind -> its share of the questions."""
FORMS = {
    "sum": (("What is ", "what is ", ""), ("{}+{}", "{} + {}", "{} plus {}"), ("?", "", "=")),
    "larger": (
        ("Which is ", "which is ", "Which number is "),
        ("larger", "bigger"),
        (", ", ": ", " "),
        ("{} or {}",),
        ("?", ""),
    ),
    "copy": (("Repeat", "repeat", "Please repeat", "Say"), (": ", " "), ("{}",)),
}
"""Kind -> the parts of a question: the first ones of all, or any."""
RANGE = (
    "numbers below 100 to add (what is .. + .., .. plus ..), below 1,000 to compare (which is larger, or bigger, .. or "
    "..), and up to five letters or numbers to repeat (repeat .., say ..); no words, and seldom in other wordings"
)
"""What the demo's model answers well, for `greenhouse chat` and the card: of six items a half fails, though taught."""
PER_PAIR = 4
"""Questions for each pair of text."""
LONGEST_COPY = 6


def questions(kind: str, seed: int, n: int, split: Split = "train") -> list[PromptPair]:
    """`n` questions of a kind with their answers; the same arguments give the same ones."""
    draw = random.Random(f"greenhouse {kind} questions {split} {seed}")
    return list(islice(_asked(kind, draw, split), n))


def mixed_in(pairs: int, seed: int) -> list[PromptPair]:
    """Questions to train on together with `pairs` pairs of text."""
    return [one for kind, share in KINDS.items() for one in questions(kind, seed, round(PER_PAIR * share * pairs))]


def _asked(kind: str, draw: random.Random, split: Split) -> Iterator[PromptPair]:
    """Questions whose problem is of the split; of a test each once."""
    seen = set[str]()
    while True:
        problem, asked, answer = {"sum": _sum, "larger": _larger, "copy": _copy}[kind](draw)
        usual = split == "test" or draw.random() < 0.5
        form = "".join(part[0] if usual else draw.choice(part) for part in FORMS[kind])
        if is_test("copy" if kind == "copy" else "arithmetic", problem) != (split == "test") or problem in seen:
            continue
        if split == "test":
            seen.add(problem)
        yield PromptPair(form.format(*asked), answer, kind)


HashedQuestion = tuple[str, tuple[object, ...], str]
"""The problem, which the split hashes, what is asked about, and the answer."""


def _sum(draw: random.Random) -> HashedQuestion:
    a, b = (draw.randint(0, 9) if draw.random() < 0.3 else draw.randint(10, 99) for _ in range(2))
    return f"{min(a, b)}+{max(a, b)}", (a, b), f"{a}+{b}; {scratchpad(a, b)}= {a + b}"


def _larger(draw: random.Random) -> HashedQuestion:
    first, second = (draw.choice((1, 2, 2, 3, 3)) for _ in range(2))
    if draw.random() < 0.6:  # at random few are of one length, which a model then guesses
        second = first
    a, b = draw.randrange(10**first), draw.randrange(10**second)
    b += a == b
    return f"{min(a, b)}+{max(a, b)}", (a, b), str(max(a, b))


def _copy(draw: random.Random) -> HashedQuestion:
    letters = draw.choice((ascii_lowercase, ascii_lowercase, ascii_letters, digits))
    longest = draw.choice((1, 1, 3)) if letters == digits else 1
    words = ["".join(draw.choices(letters, k=draw.randint(1, longest))) for _ in range(draw.randint(1, LONGEST_COPY))]
    text = " ".join(words)
    return f" {text}", (text,), text  # the curriculum's own copies are hashed with the space before them

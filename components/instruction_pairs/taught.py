"""Questions that an adder or a copier answers, in English: the curriculum's problems as a visitor would ask them.

    What is 47+38?                              7+8=15;4+3+1=8= 85
    Rosu red, Kifa blue. What goes with Kifa?   Kifa blue
    Repeat: q d x m                             q d x m

A chat tuned on documentation alone answers nothing that a person can check at a glance. These it answers right, for it
was trained on this form; that says nothing of other questions. What stands in a problem kept for tests is in no
training text: no sum of the same two numbers, in either order.
"""

import random
from itertools import islice, zip_longest

from components.instruction_pairs.examples import PromptPair
from components.synthetic.curriculum import Problem, Split, invented_name, stream

KINDS = ("sum", "recall", "copy")
COLOURS = ("red", "blue", "green", "white", "black", "brown", "yellow", "grey")
MOST_NAMES, LONGEST_COPY = 4, 8


def questions(kind: str, seed: int, n: int, split: Split = "train") -> list[PromptPair]:
    """`n` questions of a kind with their answers; the same arguments give the same ones."""
    if kind == "recall":
        draw = random.Random(f"greenhouse recall questions {split} {seed}")
        return [_recall(draw, split) for _ in range(n)]
    if kind == "copy":
        short = (one for one in stream("copy", seed, split=split) if one.difficulty["length"] <= LONGEST_COPY)
        return [PromptPair(f"Repeat:{one.final}", one.final.strip(), "copy") for one in islice(short, n)]
    return [_sum(one) for one in islice(stream("arithmetic", seed, split=split, digits=2, steps=1), n)]


def mixed(seed: int, n: int, split: Split = "train") -> list[PromptPair]:
    """About `n` questions, every kind in turn; half of them sums, which take longest to learn."""
    rows = [questions("sum", seed, n // 2, split), *(questions(kind, seed, n // 4, split) for kind in KINDS[1:])]
    return [pair for turn in zip_longest(*rows) for pair in turn if pair]


def _sum(one: Problem) -> PromptPair:
    return PromptPair(f"What is {one.prompt.split()[1].rstrip(';')}?", one.answer.strip(), "sum")


def _recall(draw: random.Random, split: Split) -> PromptPair:
    """Names of three syllables in questions for tests, of two or four in training: none is in both."""
    count = draw.randint(2, MOST_NAMES)
    names = [invented_name(draw, 3 if split == "test" else draw.choice((2, 4))) for _ in range(count)]
    colours, asked = draw.sample(COLOURS, count), draw.randrange(count)
    pairs = [f"{name} {colour}" for name, colour in zip(names, colours, strict=True)]
    return PromptPair(f"{', '.join(pairs)}. What goes with {names[asked]}?", pairs[asked], "recall")

"""Questions that an adder or a copier answers, in English: the curriculum's problems as a visitor would ask them.

    What is 47+38?                47+38; 7+8=15;4+3+1=8= 85
    Which is larger, 47 or 38?    47
    Repeat: q d x m               q d x m

A chat tuned on documentation alone answers nothing that a person can check at a glance. These it answers right, for it
was trained on this form; that says nothing of other questions. What stands in a problem kept for tests is in no
training text: neither a sum nor a comparison of the same two numbers, in either order.

A sum is said again before its steps, so that the answer goes on as pretraining's text does. Twice as many questions as
pairs of text, most of them sums: one in ten was wrong with as many, each in a sum of two digits that was seldom seen.
Questions on a passage (which name, which colour goes with what) stayed at .8, so they are not taught.
"""

import random
from collections.abc import Iterator
from itertools import islice

from components.instruction_pairs.examples import PromptPair
from components.synthetic.curriculum import Problem, Split, is_test, stream

KINDS = {"sum": 0.6, "larger": 0.2, "copy": 0.2}
"""Kind -> its share of the questions."""
PER_PAIR = 2
"""Questions for each pair of text."""
LONGEST_COPY = 8


def questions(kind: str, seed: int, n: int, split: Split = "train") -> list[PromptPair]:
    """`n` questions of a kind with their answers; the same arguments give the same ones."""
    if kind == "larger":
        return list(islice(_larger(seed, split), n))
    if kind == "copy":
        short = (one for one in stream("copy", seed, split=split) if one.difficulty["length"] <= LONGEST_COPY)
        return [PromptPair(f"Repeat:{one.final}", one.final.strip(), "copy") for one in islice(short, n)]
    return [_sum(one) for one in islice(stream("arithmetic", seed, split=split, digits=2, steps=1), n)]


def beside(pairs: int, seed: int) -> list[PromptPair]:
    """The questions that are trained on beside so many pairs of text."""
    return [one for kind, share in KINDS.items() for one in questions(kind, seed, round(PER_PAIR * share * pairs))]


def _sum(one: Problem) -> PromptPair:
    asked = one.prompt.split()[1]
    return PromptPair(f"What is {asked.rstrip(';')}?", f"{asked}{one.answer}", "sum")


def _larger(seed: int, split: Split) -> Iterator[PromptPair]:
    """Two numbers of two digits, split as the sums are."""
    draw = random.Random(f"greenhouse larger questions {split} {seed}")
    seen: set[tuple[int, int]] = set()
    while True:
        low, high = sorted(pair := draw.sample(range(10, 100), 2))
        if is_test("arithmetic", f"{low}+{high}") != (split == "test") or (split == "test" and (low, high) in seen):
            continue
        seen.add((low, high))
        yield PromptPair(f"Which is larger, {pair[0]} or {pair[1]}?", str(high), "larger")

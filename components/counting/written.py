"""Rules that write an answer character by character or at once, learned from lines of the training text.

Lines are of the prompt's form: `sum: 47+38= 85`, `steps: 47+38; 7+8=15;4+3+1=8= 85`. Of a line that
its window cuts, what is left is learned.
"""

import re
from collections import Counter
from collections.abc import Callable

import numpy as np

from components.counting.in_context import longest_match
from components.counting.training_text import TrainingText

Write = Callable[[str], str]

FORM = re.compile(r"^([a-z]+: ?\d+\+\d+[=;])(.+)$", re.M)
ENDS = 8
"""Characters seen of the end of the prompt, and of what was written."""
MOST_WRITTEN = 60


def lines(seen: TrainingText) -> dict[str, list[tuple[str, str]]]:
    """Word that begins the prompt -> prompts and answers in training text."""
    answers: dict[str, list[tuple[str, str]]] = {}
    for prompt, answer in FORM.findall(seen.text):
        answers.setdefault(prompt.split(":")[0], []).append((prompt, answer))
    return answers


def usual(seen: TrainingText) -> Write:
    """The end of the commonest answer of the form."""
    known = {form: Counter(answer.rsplit("=", 1)[-1] for _, answer in rows) for form, rows in lines(seen).items()}
    return lambda prompt: known[form].most_common(1)[0][0] if (form := prompt.split(":")[0]) in known else ""


def continued(seen: TrainingText) -> Write:
    """Text that followed the longest match of the prompt's end in training text."""

    def write(prompt: str) -> str:
        if (length := longest_match(prompt, seen.text)) == 0:
            return ""
        end = seen.text.find(prompt[-length:]) + length
        return seen.text[end : end + MOST_WRITTEN].split("\n")[0]

    return write


def by_digit(seen: TrainingText) -> Write:
    """Each digit of the sum by how often it came of the two digits above it, in its column; no carry is known."""
    counts: dict[tuple, Counter[int]] = {}
    for rows in lines(seen).values():
        for prompt, answer in rows:
            total = answer.rsplit("=", 1)[-1].strip()
            for column, above in enumerate(_columns(prompt)):
                if total.isdigit():
                    digit = int(total.zfill(column + 1)[-column - 1])
                    counts.setdefault((column, *above), Counter())[digit] += 1

    def write(prompt: str) -> str:
        known = [counts.get((column, *above), Counter({0: 1})) for column, above in enumerate(_columns(prompt))]
        return " " + "".join(str(one.most_common(1)[0][0]) for one in reversed(known)).lstrip("0")

    return write


def _columns(prompt: str) -> list[tuple[str, str]]:
    """The digits that are added, by column from the right; the last once more, for the column of its carry."""
    first, second = re.findall(r"\d+", prompt)[:2]
    width = max(len(first), len(second))
    above = list(zip(first.zfill(width)[::-1], second.zfill(width)[::-1], strict=True))
    return [*above, above[-1]]


def tree(seen: TrainingText) -> Write:
    """A decision tree that says the next character from those before it; so it writes its steps where lines have them.

    It is given the ends of the prompt and of what it wrote, how many signs that has, and how long
    the last part is.
    """
    from sklearn.tree import DecisionTreeClassifier

    trees = {}
    for form, rows in lines(seen).items():
        known = [(_before(prompt, answer[:end]), ord(f"{answer}\n"[end]))
                 for prompt, answer in rows for end in range(len(answer) + 1)]  # fmt: skip
        before, after = zip(*known, strict=True)
        trees[form] = DecisionTreeClassifier(criterion="entropy", random_state=1).fit(np.array(before), after)

    def write(prompt: str) -> str:
        written = ""
        while (form := prompt.split(":")[0]) in trees and "\n" not in written and len(written) < MOST_WRITTEN:
            written += chr(trees[form].predict([_before(prompt, written)])[0])
        return written.rstrip("\n")

    return write


def _before(prompt: str, written: str) -> list[int]:
    ends = prompt[-ENDS:].rjust(ENDS) + written[-ENDS:].rjust(ENDS)
    return [*map(ord, ends), written.count(";"), written.count("="), len(re.split("[;=]", written)[-1])]

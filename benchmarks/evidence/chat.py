"""What the demo's chat model answers to questions of the kinds it was taught, none of which stands in training text.

Sums are asked in either order. The answer counts if it ends in the right one; greedy, from the exported bytes.
"""

import re
from typing import Any

from benchmarks.results import goal
from benchmarks.tables import ROOT
from components.instruction_pairs.examples import PromptPair
from components.instruction_pairs.taught import KINDS, questions
from components.synthetic.curriculum import is_right
from flows.chat import Sampling, open_chat

SEED, EACH = 99, 100
"""Of the questions; other seeds were used while the rows were made."""


def asked(kind: str) -> list[PromptPair]:
    """Questions of a kind, sums once more with their numbers exchanged."""
    pairs = questions(kind, SEED, EACH, "test")
    if kind != "sum":
        return pairs
    return [*pairs, *(PromptPair(re.sub(r"(\d+)\+(\d+)", r"\2+\1", one.prompt), one.answer, kind) for one in pairs)]


def measure(_: int) -> tuple[dict, list[dict], dict[str, list[dict]]]:
    """Share of right answers by kind, and every answer."""
    talk = open_chat(ROOT / "models/finetune/instruct", Sampling(temperature=0.0))[0]
    rows: list[dict[str, Any]] = []
    for kind in KINDS:
        for one in asked(kind):
            talk.turns.clear()
            said = talk.answer(one.prompt, lambda text: None).text
            right = is_right(said, one.answer.rsplit("=", 1)[-1])
            rows.append({"kind": kind, "question": one.prompt, "answer": said, "right": right})
    share = {kind: sum(row["right"] for row in rows if row["kind"] == kind) / len(asked(kind)) for kind in KINDS}
    others = [kind for kind in KINDS if kind != "sum"]
    worst = min(share[kind] for kind in others)
    goals = [
        goal("chat_sums_right", share["sum"], 0.95, "higher", f"of {2 * EACH} sums in no training text, either order"),
        goal("chat_other_right", worst, 0.9, "higher", f"the worse of {' and '.join(others)}, {EACH} each"),
    ]
    return {"chat_right": share}, goals, {"chat": rows}

"""Twenty answers and twenty samples of a preset's models, unselected: what its scores look like.

Answers are to the first held-out questions of each kind that was taught, in the shares that were taught; samples
continue the beginnings of the first held-out documents. Both as `greenhouse chat` gives them.
"""

from itertools import islice
from pathlib import Path

from components.corpus.corpus import read_corpus
from components.instruction_pairs.taught import KINDS, questions
from flows.chat import Sampling, open_chat

NUMBER, SEED, BEGINNING = 20, 98, 60
"""Of each; of the questions, which no other bench asks; characters of a document that a sample goes on from."""


def measure(base: Path) -> tuple[dict, list, dict[str, list[dict]]]:
    """The rows, of the models of a finished checkout."""
    asked = [one for kind, share in KINDS.items() for one in questions(kind, SEED, round(NUMBER * share), "test")]
    rows = [("answer", one.prompt, one.answer.rpartition("= ")[2]) for one in asked]
    begun = islice(read_corpus(base / "data/ingest/heldout"), NUMBER)
    rows += [("sample", document.text[:BEGINNING], "") for document in begun]
    folders = {"answer": "models/finetune/instruct", "sample": "models/pretrain/causal"}
    made = []
    for kind, prompt, right in rows:
        talk = open_chat(base / folders[kind], Sampling())[0]  # each by itself
        text = talk.answer(prompt, lambda _: None).text
        made.append({"kind": kind, "prompt": prompt, "model": text, "right": right})
    return {}, [], {"samples": made}

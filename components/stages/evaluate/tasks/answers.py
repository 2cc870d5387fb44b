"""How well does the tuned model predict the answers of held-out instructions?

Bits per byte of the answer given its prompt in chat form, on pairs drawn from held-out documents with the extractors of
fine-tuning (components/instruction_pairs). Fine-tuning reports its own scores on its own pairs; with these rows two
tuned models are compared pair by pair.
"""

from collections.abc import Callable, Iterable
from itertools import islice

from components.core.files import read_json, sha256_bytes
from components.corpus.corpus import Document
from components.instruction_pairs import continuation, describe, heading
from components.instruction_pairs.examples import Pair
from components.stages.evaluate.tasks.bits_per_byte import bits
from components.stages.evaluate.tasks.task import Exam, Outcome, Skip
from components.tokens.tokenizer import ASSISTANT, END_OF_TEXT, USER

NAME = "answers"
PAIRS: dict[str, Callable[[Document], Iterable[Pair]]] = {
    "describe": describe.pairs,
    "heading": heading.pairs,
    "continue": continuation.pairs,
}
MOST_PER_DOCUMENT = 8
MOST_ANSWER_BYTES = 400


def answers(exam: Exam) -> Outcome:
    """Bits per byte of held-out answers under the instruction-tuned model."""
    facts = exam.folders.instruct / "greenhouse.json"
    task = (read_json(facts).get("task") or {}).get("name", "") if facts.exists() else ""
    if task not in PAIRS:
        raise Skip(f"the model does not say which of {', '.join(PAIRS)} it was tuned on")
    asked = _pairs(exam, PAIRS[task])
    if not asked:
        raise Skip(f"the held-out documents hold no pair for the task {task}")
    outcome = Outcome(NAME)
    _score(outcome, exam, asked)
    estimate = outcome.estimate("bits_per_byte", exam.how)
    outcome.metric("bits_per_byte", estimate)
    outcome.facts["task"] = task
    outcome.highlight("answers of the tuned model, bits per byte", estimate, None, f"task {task}")
    return outcome


def _pairs(exam: Exam, of: Callable[[Document], Iterable[Pair]]) -> list[Pair]:
    """At most `items` pairs with different answers, in an order drawn by hash."""
    found: dict[str, Pair] = {}
    for document in exam.heldout:
        for pair in islice(of(document), MOST_PER_DOCUMENT):
            found.setdefault(pair.answer, pair)
    keyed = sorted((sha256_bytes(f"{exam.params.seed} {answer}".encode()), answer) for answer in found)
    return [found[answer] for _, answer in keyed[: exam.params.items]]


def _score(outcome: Outcome, exam: Exam, asked: list[Pair]) -> None:
    """Append a row per pair; an answer that does not fit the context beside its prompt loses its end."""
    model, sequences, starts = exam.instruct, [], []
    for pair in asked:
        answer = model.encode(pair.answer.encode()[:MOST_ANSWER_BYTES].decode(errors="ignore"))[1:]
        answer = answer[: model.context // 2]
        prompt = model.encode(pair.prompt)[1:][-(model.context - len(answer) - 3) :]
        sequences.append([END_OF_TEXT, USER, *prompt, ASSISTANT, *answer])
        starts.append(len(answer))
    token_bytes = model.token_bytes()
    for pair, ids, size, scores in zip(asked, sequences, starts, model.score(sequences), strict=True):
        key = sha256_bytes(f"{pair.prompt}\n{pair.answer}".encode())[:16]
        weight = int(token_bytes[ids[-size:]].sum())
        score = bits(scores.logp[-size:])
        outcome.item("bits_per_byte", key, score, weight=weight, cluster=pair.cluster, direction="lower")

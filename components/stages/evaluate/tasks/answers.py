"""Task `answers`: how well the tuned model predicts the answers of held-out instructions.

Bits per byte of the answer given its prompt in chat form, on pairs drawn from held-out documents with the extractors of
fine-tuning (components/instruction_pairs). Fine-tuning reports its own scores on its own pairs; with these rows two
tuned models are compared pair by pair.
"""

from collections.abc import Callable, Iterable
from itertools import islice

from components.core.files import read_json, sha256_bytes
from components.corpus.corpus import Document
from components.instruction_pairs import continuation, describe, heading
from components.instruction_pairs.examples import PromptPair
from components.stages.evaluate.tasks.bits_per_byte import bits
from components.stages.evaluate.tasks.task import EvalContext, NotApplicable, TaskResult
from components.tokens.tokenizer import ASSISTANT, END_OF_TEXT, USER

NAME = "answers"
PAIRS: dict[str, Callable[[Document], Iterable[PromptPair]]] = {
    "describe": describe.pairs,
    "heading": heading.pairs,
    "continue": continuation.pairs,
}
MOST_PER_DOCUMENT = 8
MOST_ANSWER_BYTES = 400


def answers(context: EvalContext) -> TaskResult:
    """Bits per byte of held-out answers under the instruction-tuned model."""
    facts = context.folders.instruct / "greenhouse.json"
    task = (read_json(facts).get("task") or {}).get("name", "") if facts.exists() else ""
    if task not in PAIRS:
        raise NotApplicable(f"the model does not say which of {', '.join(PAIRS)} it was tuned on")
    chosen = _pairs(context, PAIRS[task])
    if not chosen:
        raise NotApplicable(f"the held-out documents hold no pair for the task {task}")
    result = TaskResult(NAME)
    _score(result, context, chosen)
    estimate = result.estimate("bits_per_byte", context.resampling)
    result.metric("bits_per_byte", estimate)
    result.facts["task"] = task
    result.highlight("answers of the tuned model, bits per byte", estimate, None, f"task {task}")
    return result


def _pairs(context: EvalContext, extract: Callable[[Document], Iterable[PromptPair]]) -> list[PromptPair]:
    """At most `items` pairs with different answers, in an order drawn by hash."""
    by_answer: dict[str, PromptPair] = {}
    for document in context.heldout:
        for pair in islice(extract(document), MOST_PER_DOCUMENT):
            by_answer.setdefault(pair.answer, pair)
    keyed = sorted((sha256_bytes(f"{context.params.seed} {answer}".encode()), answer) for answer in by_answer)
    return [by_answer[answer] for _, answer in keyed[: context.params.items]]


def _score(result: TaskResult, context: EvalContext, chosen: list[PromptPair]) -> None:
    """Append a row per pair; an answer that does not fit the context beside its prompt loses its end."""
    model, sequences, starts = context.instruct, [], []
    for pair in chosen:
        answer = model.encode(pair.answer.encode()[:MOST_ANSWER_BYTES].decode(errors="ignore"))[1:]
        answer = answer[: model.context // 2]
        prompt = model.encode(pair.prompt)[1:][-(model.context - len(answer) - 3) :]
        sequences.append([END_OF_TEXT, USER, *prompt, ASSISTANT, *answer])
        starts.append(len(answer))
    token_bytes = model.token_bytes()
    for pair, ids, size, scores in zip(chosen, sequences, starts, model.score(sequences), strict=True):
        key = sha256_bytes(f"{pair.prompt}\n{pair.answer}".encode())[:16]
        weight = int(token_bytes[ids[-size:]].sum())
        score = bits(scores.logp[-size:])
        result.item("bits_per_byte", key, score, weight=weight, cluster=pair.cluster, direction="lower")

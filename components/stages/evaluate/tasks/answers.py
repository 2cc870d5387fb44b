"""Task `answers`: how well the tuned model predicts the answers of held-out instructions.

Bits per byte of the answer given its prompt in chat form, on pairs drawn from held-out documents
with the extractors of fine-tuning (components/instruction_pairs). Beside it stand rules of text
that have counted what the base read, and all pairs of the training documents, of which a part was
tuned on. Fine-tuning reports its own scores on its own pairs, before and after; with these rows two
tuned models are compared pair by pair. A model tuned on preferences too is scored
beside: its baseline is the one it started from.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any

import numpy as np

from components.core.files import read_json, sha256_bytes
from components.corpus.corpus import Document, read_corpus
from components.counting.registry import posed
from components.counting.training_text import TunedText
from components.instruction_pairs import continuation, describe, heading
from components.instruction_pairs.examples import PromptPair
from components.stages.evaluate.tasks.bits_per_byte import bits
from components.stages.evaluate.tasks.scoring import LanguageModel
from components.stages.evaluate.tasks.task import EvalContext, NotApplicable, TaskResult, item_id
from components.tokens.tokenizer import ASSISTANT, END_OF_TEXT, USER, bytes_of_tokens
from components.training.likelihood import next_tokens, score

PREFERRED = "preferred_bits_per_byte"
Extract = Callable[[Document], Iterable[PromptPair]]
PAIRS: dict[str, Extract] = {
    "describe": describe.pairs,
    "heading": heading.pairs,
    "continue": continuation.pairs,
}
MOST_PER_DOCUMENT = 8
MOST_ANSWER_BYTES = 400


def answers(context: EvalContext) -> TaskResult:
    """Bits per byte of held-out answers under the instruction-tuned model."""
    facts = context.folders.instruct / "greenhouse.json"
    known = read_json(facts) if facts.exists() else {}
    task = (known.get("task") or {}).get("name", "")
    if base := known.get("finetuning", {}).get("base"):
        raise NotApplicable(f"the tuned model's base, {base}, has a tokenizer of its own: its bits are not comparable")
    if task == "rows":
        raise NotApplicable("the model was tuned on rows of one's own: its report in reports/finetune has their scores")
    if task not in PAIRS:
        raise NotApplicable(f"the model does not say which of {', '.join(PAIRS)} it was tuned on")
    chosen = _pairs(context, PAIRS[task])
    if not chosen:
        raise NotApplicable(f"the held-out documents hold no pair for the task {task}")
    result = TaskResult("answers", unit="works", model="finetune/instruct")
    _score(result, context, chosen, PAIRS[task])
    estimate = result.estimate("bits_per_byte")
    result.metric("bits_per_byte", estimate)
    common: dict[str, Any] = {"kind": "knowledge", "unit": "bits", "better": "lower"}
    baseline = result.baseline("bits_per_byte")
    title = f"answer bits per byte, {len(chosen)} pairs"
    result.score("bits_per_byte", title, estimate, baseline, headline=True, **common)
    result.facts["task"] = task
    if result.rows(PREFERRED):
        estimate = result.estimate(PREFERRED)
        result.metric(PREFERRED, estimate)
        baseline = result.baseline(PREFERRED, needs_model=True)
        title = f"answer bits per byte, {len(chosen)} pairs, preferred"
        result.score(PREFERRED, title, estimate, baseline, model="finetune/prefer", **common)
    return result


def _pairs(context: EvalContext, extract: Extract) -> list[PromptPair]:
    """At most `items` pairs with different answers, in an order drawn by hash."""
    by_answer: dict[str, PromptPair] = {}
    for document in context.heldout:
        for pair in islice(extract(document), MOST_PER_DOCUMENT):
            by_answer.setdefault(pair.answer, pair)
    keyed = sorted((sha256_bytes(f"{context.params.seed} {answer}".encode()), answer) for answer in by_answer)
    return [by_answer[answer] for _, answer in keyed[: context.params.items]]


def _score(result: TaskResult, context: EvalContext, chosen: list[PromptPair], extract: Extract) -> None:
    """Append a row per pair."""
    tuned = _bits(context.instruct, chosen)
    asked = [(pair, weight) for pair, (_, weight) in zip(chosen, tuned, strict=True)]
    compared = [("bits_per_byte", "finetune/instruct", tuned, counted(context, asked, extract))]
    if models := context.further("prefer"):
        preferred, start = (_bits(one, chosen) for one in models)
        before = {"before preference tuning": [size for size, _ in start]}
        compared.append((PREFERRED, "finetune/prefer", preferred, before))
    for metric, model, after, by_rule in compared:
        for number, (pair, (size, weight)) in enumerate(zip(chosen, after, strict=True)):
            where: dict[str, Any] = {"cluster": pair.cluster, "stratum": pair.stratum, "model": model}
            where |= {"weight": weight, "direction": "lower"}
            rules = {name: row[number] for name, row in by_rule.items()}
            result.item(metric, item_id(pair.prompt, pair.answer), size, rules=rules, **where)


def counted(context: EvalContext, asked: Sequence[tuple[PromptPair, int]], extract: Extract) -> dict[str, list[float]]:
    """Rule of text -> bits of each answer after its prompt, of as many bytes as are given."""
    learned = (pair for document in read_corpus(context.folders.mix / "train") for pair in extract(document))
    seen = TunedText(context.training_text, (f"{pair.prompt}\n{pair.answer}\n" for pair in learned))
    lines = [(f"{pair.prompt}\n", pair.answer.encode()[:size].decode(errors="ignore")) for pair, size in asked]
    whole = posed("text", seen, [text for prompt, answer in lines for text in (prompt, prompt + answer)], alone=True)
    bits_of = {name: np.subtract(row[1::2], row[::2]).tolist() for name, row in whole.items()}
    continuation = [part for prompt, answer in lines for part in (f"\n{prompt}", answer)]
    return bits_of | {"ppmd": posed("text", seen, continuation, only="ppmd")["ppmd"][1::2]}


def _bits(model: LanguageModel, chosen: list[PromptPair]) -> list[tuple[float, int]]:
    """Bits and bytes of each answer; one that does not fit the context beside its prompt loses its end."""
    before, after = [END_OF_TEXT, USER], [ASSISTANT]
    rows = []
    for pair in chosen:
        answer = model.encode(pair.answer.encode()[:MOST_ANSWER_BYTES].decode(errors="ignore"))[1:]
        answer = answer[: model.context // 2]
        max_prompt = model.context - len(answer) - len(before) - len(after)
        ids = [*before, *model.encode(pair.prompt)[1:][-max_prompt:], *after, *answer]
        rows.append(next_tokens(ids, len(answer)))
    sizes = bytes_of_tokens(model.tokenizer)
    scored = zip(rows, score(model.model, rows), strict=True)
    return [(bits(scores.logp), int(sizes[row.targets].sum())) for row, scores in scored]

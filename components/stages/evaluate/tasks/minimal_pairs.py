"""Task `minimal_pairs`: whether the model finds the grammatical sentence of two more likely.

Accuracy of "the good sentence has the higher total log-probability" (BLiMP's rule), per phenomenon, beside n-gram
models of the text the model was trained on. In the generated pairs every word stands as often in good as in bad
sentences, so that unigrams are at one half.
"""

from collections.abc import Sequence

from components.counting.registry import posed
from components.stages.evaluate.tasks.grammar_templates import PHENOMENA, pairs
from components.stages.evaluate.tasks.task import Curve, EvalContext, TaskResult, item_id

NAME = "minimal_pairs"


def minimal_pairs(context: EvalContext) -> TaskResult:
    """Score generated pairs."""
    context.require_english()
    result = TaskResult(NAME, unit="words")
    model = context.causal
    generated = [pair for name in PHENOMENA for pair in pairs(name, context.params.seed, context.params.items)]
    texts = [text for pair in generated for text in (pair.good, pair.bad)]
    hits = _hits([scores.total for scores in model.score([model.encode(text)[: model.context + 1] for text in texts])])
    sizes = posed("text", context.training_text, texts, apart=True)
    by_rule = {name: _hits([-bits for bits in sized]) for name, sized in sizes.items()}
    for number, (pair, hit) in enumerate(zip(generated, hits, strict=True)):
        key, cluster = item_id(pair.good, pair.bad), f"{pair.phenomenon}/{pair.head}"
        rules = {name: each[number] for name, each in by_rule.items()}
        result.item("accuracy", key, hit, condition=pair.phenomenon, cluster=cluster, rules=rules)
    total = result.estimate("accuracy", context.resampling)
    result.metric("accuracy", total)
    baseline = result.baseline("accuracy", context.resampling)
    result.score("accuracy", "minimal pairs", total, baseline, f"{len(PHENOMENA)} phenomena", headline=True)
    by_phenomenon = {name: result.estimate("accuracy", context.resampling, name) for name in sorted(PHENOMENA)}
    result.facts["by_phenomenon"] = {name: found.as_dict() for name, found in by_phenomenon.items()}
    curve = Curve("minimal_pairs", "Minimal pairs by phenomenon", "", "accuracy", [], 0.5, "bar")
    for name in PHENOMENA:
        curve.add(name.replace("_", " "), by_phenomenon[name])
    result.curves.append(curve)
    return result


def _hits(totals: Sequence[float]) -> list[float]:
    """1 where the first of two neighbouring totals is the larger, one half where they are equal."""
    pairs = zip(totals[::2], totals[1::2], strict=True)
    return [1.0 if good > bad else 0.5 if good == bad else 0.0 for good, bad in pairs]

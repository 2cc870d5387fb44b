"""Curves of the label-efficiency study, with intervals, the labels that pretraining saves, and their report.

Every figure is a mean over seeds (draws of labels and trainings) and held-out items, and both vary:
its variance is that of the seeds' means plus that of the items' (clustered by work), with
Satterthwaite's degrees of freedom. What seeds and items share is counted twice, so intervals are
rather too wide. They cover no other pretraining.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from components.core.files import rounded, write_json, write_text
from components.params.studies import REFERENCE
from components.reporting.figures import WIDTH, error_bars, figure, legend, save
from components.reporting.tables import Page, interval, number
from components.statistics import MIN_CLUSTERS, Estimate, Spread, cluster_table, critical_t, variance_words
from components.verdicts import over_works_and_seeds

STEPS_PER_DOUBLING = 8
"""Resolution of the search for the labels that another curve needs."""
CAP = 64.0
"""Largest factor reported: beyond 64 x 64 labels nothing is measured."""


def over_seeds_and_items(values_SI: np.ndarray, clusters: Sequence[str]) -> Estimate:
    """Mean of `values_SI`, with its interval over seeds and clusters of items."""
    by_seed = values_SI.mean(axis=1)
    value, seeds = float(by_seed.mean()), len(by_seed)
    table, _ = cluster_table([values_SI.mean(axis=0), np.ones(len(clusters))], clusters)
    low, high = None, None
    if min(len(table), seeds) >= MIN_CLUSTERS:
        works = Spread.of(table, lambda sums: sums[..., 0] / sums[..., 1], table[:, 1])
        of_seeds = float(by_seed.std(ddof=1)) / seeds**0.5
        error, freedom = over_works_and_seeds(works.error, works.freedom, of_seeds, seeds - 1)
        reach = critical_t(freedom, 0.95) * error
        low, high = value - reach, value + reach
    words = variance_words(min(len(table), seeds), "seeds and documents")
    return Estimate(value, low, high, values_SI.size, len(table), words)


def labels_needed(
    goal_SI: np.ndarray, curve: Mapping[int, np.ndarray], clusters: Sequence[str]
) -> dict[str, float | None]:
    """Factor by which another way of training needs more labels than `REFERENCE` to reach the accuracy of `goal_SI`.

    The curve is interpolated between its points in the logarithm of the labels, seed by seed and
    item by item. `value` is where its mean first reaches the goal's. `low` is where the interval of
    the difference first holds zero: with fewer labels it is surely worse. Where that never happens
    it is `CAP`, or the factor at the last point.

    Args:
        goal_SI: (seeds, items), 1 where right: the pretrained model with `REFERENCE` labels.
        curve: labels -> the same of the other way.
    """
    sizes = sorted(curve)
    last = min(CAP, sizes[-1] / REFERENCE)
    value, low = None, None
    for labels in np.geomspace(sizes[0], sizes[-1], 1 + round(np.log2(sizes[-1] / sizes[0]) * STEPS_PER_DOUBLING)):
        after = min(max(1, int(np.searchsorted(sizes, labels * (1 + 1e-9)))), len(sizes) - 1)
        left, right = sizes[after - 1], sizes[after]
        share = float(np.clip(np.log(labels / left) / np.log(right / left), 0.0, 1.0))
        gap = over_seeds_and_items((1 - share) * curve[left] + share * curve[right] - goal_SI, clusters)
        factor = min(last, float(labels) / REFERENCE)
        if value is None and gap.value >= 0:
            value = factor
        if low is None and (gap.value if gap.high is None else gap.high) >= 0:
            low = factor
    bounded = min(len(goal_SI), len(set(clusters))) >= MIN_CLUSTERS
    return {"value": value or last, "low": (low or last) if bounded else None, "reached": float(value is not None)}


def right_of(results: Sequence[Mapping[str, Any]], arm: str, labels: int, key: str = "right") -> np.ndarray:
    """Whether each held-out item was right: (seeds, items); by the network, or by a rule of that name."""
    rows = [({**row, **row.get("rules", {})})[key] for row in results if (row["arm"], row["labels"]) == (arm, labels)]
    return np.array([[int(digit) for digit in row] for row in rows], dtype=np.float64)


def summary(results: Sequence[Mapping[str, Any]], clusters: Sequence[str]) -> dict[str, Any]:
    """Curves of all arms and of the best rule, joules and seconds; factors of labels by rival are `label_efficiency`.

    The best rule is the one without a network that has most held-out items right with so many
    labels.
    """
    labels = sorted({row["labels"] for row in results})
    arms = list(dict.fromkeys(row["arm"] for row in results))
    hits = {arm: {n: right_of(results, arm, n) for n in labels} for arm in arms}
    rules = {n: [right_of(results, "masked", n, rule) for rule in results[0]["rules"]] for n in labels}
    hits["rule"] = {n: max(of_rules, key=np.mean) for n, of_rules in rules.items()}
    curves = {arm: [_point(hits[arm][n], clusters, n, _used(results, arm, n)) for n in labels] for arm in hits}
    differences = {
        f"{a} - {b}": [_point(hits[a][n] - hits[b][n], clusters, n, {}) for n in labels]
        for a, b in (("masked", "scratch"), ("masked", "rule"), ("masked", "causal"), ("masked", "lora"))
    }
    return {
        "label_efficiency": {
            rival: labels_needed(hits["masked"][REFERENCE], hits[rival], clusters) for rival in ("rule", "scratch")
        },
        "curves": curves,
        "differences": differences,
    }


def _point(values_SI: np.ndarray, clusters: Sequence[str], labels: int, more: dict[str, float]) -> dict[str, Any]:
    estimate = over_seeds_and_items(values_SI, clusters)
    return {"labels": labels, "value": estimate.value, "low": estimate.low, "high": estimate.high} | more


def _used(results: Sequence[Mapping[str, Any]], arm: str, labels: int) -> dict[str, float]:
    """Mean joules, seconds and steps of a training."""
    rows = [row for row in results if row["arm"] == arm and row["labels"] == labels]
    return {key: float(np.mean([row[key] for row in rows])) for key in ("joules", "cpu_s", "steps") if rows}


TITLES = {
    "masked": "pretrained (masked)",
    "scratch": "from scratch",
    "rule": "best rule without a network",
    "causal": "pretrained (causal)",
    "lora": "pretrained, LoRA",
}
PANELS = (("masked", "scratch", "rule"), ("masked", "causal", "lora"))


def write(result: Mapping[str, Any], facts: Mapping[str, Any], folder: Path) -> None:
    """Write label_efficiency.json, report.md and the plots.

    Args:
        found: what `curves.summary` returned.
        facts: task, seeds, epochs, held-out items, hashes of the base models, processor.
    """
    write_json(folder / "label_efficiency.json", rounded({**result, **facts}))
    _accuracy(result["curves"], facts, folder / "plots" / "accuracy.png")
    _price(result["curves"], folder / "plots" / "price.png")
    write_text(folder / "report.md", markdown(result, facts))


def markdown(result: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """The report."""
    curves, (rule, scratch) = result["curves"], map(_in_words, result["label_efficiency"].values())
    page = Page(f"What pretraining is worth, in labels: {facts['task']['name']}", None)
    page.add(
        f"For the accuracy that the pretrained model reaches with {REFERENCE} labels the best rule without a network "
        f"needs {rule}, the network from scratch {scratch}.",
        f"Task: {facts['task']['title']}; {len(facts['task']['classes'])} classes, {facts['items']} held-out examples, "
        f"{facts['seeds']} seeds of labels and training. Intervals are over seeds and held-out documents, for these "
        f"pretrained models ({', '.join(facts['bases'])}) alone. Processor: {facts['processor']}.",
    )
    sizes = [row["labels"] for row in curves["masked"]]
    rows = [[TITLES[arm], *(_cell(row) for row in points)] for arm, points in curves.items()]
    page.show(f"accuracy_by_labels {' '.join(map(str, sizes))}", rows, "Accuracy by number of labels.")
    rows = [[name, *(_cell(row, "+.3f") for row in points)] for name, points in result["differences"].items()]
    page.show(f"difference {' '.join(map(str, sizes))}", rows, "Differences in accuracy, on the same labels and items.")
    rows = [[TITLES[arm], *(number(row["joules"]) for row in points)] for arm, points in _trained(curves)]
    caption = (
        "Joules of a training by number of labels (estimated as the ledger does). "
        f"Each label is seen {facts['epochs']} times or more."
    )
    page.show(f"arm {' '.join(map(str, sizes))}", rows, caption)
    return page.markdown


def _in_words(needed: Mapping[str, float | None]) -> str:
    bound = "" if needed["low"] is None else f" (at least {needed['low']:.1f} with 95% confidence)"
    return f"{'' if needed['reached'] else 'more than '}{needed['value']:.1f} times as many labels{bound}"


def _trained(curves: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The arms that are trained as networks, with their points."""
    return [(arm, points) for arm, points in curves.items() if arm != "rule"]


def _cell(row: Mapping[str, Any], form: str = ".3f") -> str:
    return interval(row["value"], row["low"], row["high"], form)


# -- plots -------------------------------------------------------------------------------------------------------------


def _lines(axes: Any, curves: Mapping[str, Sequence[Mapping[str, Any]]], arms: Sequence[str]) -> None:
    for arm in arms:
        rows = curves[arm]
        labels, values, low, high = ([row[key] for row in rows] for key in ("labels", "value", "low", "high"))
        axes.errorbar(
            labels, values, error_bars(values, low, high), fmt="o-", capsize=2,
            color=f"C{list(TITLES).index(arm)}", label=TITLES[arm], markersize=4,
        )  # fmt: skip
    _label_axis(axes, [row["labels"] for row in curves[arms[0]]])


def _label_axis(axes: Any, sizes: Sequence[int]) -> None:
    axes.set(xscale="log", xlabel="labels")
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.minorticks_off()


def _accuracy(curves: Mapping[str, Any], facts: Mapping[str, Any], path: Path) -> None:
    drawing, axes = figure(WIDTH, 3.2, columns=2, sharey=True)
    for one, arms in zip(axes, PANELS, strict=True):
        _lines(one, curves, arms)
    axes[0].set(title="What pretraining is worth", ylabel="held-out accuracy")
    axes[1].set(title="Ways of tuning")
    legend(*axes)
    caption = (
        f"Held-out accuracy by number of labels ({facts['task']['title']}): mean of {facts['seeds']} seeds, with 95% "
        "intervals over seeds and documents."
    )
    save(drawing, path, caption)


def _price(curves: Mapping[str, Any], path: Path) -> None:
    drawing, [axes] = figure(WIDTH / 2, 3.0)
    for arm, rows in _trained(curves):
        colour = f"C{list(TITLES).index(arm)}"
        axes.plot([r["labels"] for r in rows], [r["joules"] for r in rows], "o-", label=TITLES[arm], color=colour)
    _label_axis(axes, [row["labels"] for row in curves["masked"]])
    axes.set(title="Energy of a training", ylabel="joules")
    legend(axes)
    save(drawing, path, "Joules of one training by number of labels.")

"""Report of the label-efficiency study: tables, and plots with captions."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.core.files import rounded, write_json, write_text
from components.reporting.figures import WIDTH, error_bars, figure, legend, save
from components.reporting.tables import Page, interval, number

TITLES = {
    "masked": "pretrained (masked)",
    "scratch": "from scratch",
    "tfidf": "TF-IDF",
    "causal": "pretrained (causal)",
    "lora": "pretrained, LoRA",
}
PANELS = (("masked", "scratch", "tfidf"), ("masked", "causal", "lora"))


def write(found: Mapping[str, Any], facts: Mapping[str, Any], folder: Path) -> None:
    """Write label_efficiency.json, report.md and the plots.

    Args:
        found: what `curves.summary` returned.
        facts: task, seeds, epochs, held-out items, hashes of the base models, processor.
    """
    write_json(folder / "label_efficiency.json", rounded({**found, **facts}))
    _accuracy(found["curves"], facts, folder / "plots" / "accuracy.png")
    _price(found["curves"], folder / "plots" / "price.png")
    write_text(folder / "report.md", markdown(found, facts))


def markdown(found: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """The report."""
    curves, needed = found["curves"], found["label_efficiency"]
    page = Page(f"What pretraining is worth, in labels: {facts['task']['name']}", None)
    bound = "" if needed["low"] is None else f" (at least {needed['low']:.1f} with 95% confidence)"
    reached = "" if needed["reached"] else "more than "
    page.say(
        f"From scratch, {reached}{needed['value']:.1f} times as many labels{bound} are needed for the accuracy that "
        "the pretrained model reaches with 64.",
        f"Task: {facts['task']['title']}; {len(facts['task']['classes'])} classes, {facts['items']} held-out examples, "
        f"{facts['seeds']} seeds of labels and training. Intervals are over seeds and held-out documents, for these "
        f"pretrained models ({', '.join(facts['bases'])}) alone. Processor: {facts['processor']}.",
    )
    sizes = [row["labels"] for row in curves["masked"]]
    rows = [[TITLES[arm], *(_cell(row) for row in points)] for arm, points in curves.items()]
    page.show(f"accuracy_by_labels {' '.join(map(str, sizes))}", rows, "Accuracy by number of labels.")
    rows = [[name, *(_cell(row, "+.3f") for row in points)] for name, points in found["differences"].items()]
    page.show(f"difference {' '.join(map(str, sizes))}", rows, "Differences in accuracy, on the same labels and items.")
    rows = [[TITLES[arm], *(number(row["joules"]) for row in points)] for arm, points in _trained(curves)]
    caption = (
        "Joules of a training by number of labels (estimated as the ledger does). "
        f"Each label is seen {facts['epochs']} times or more."
    )
    page.show(f"arm {' '.join(map(str, sizes))}", rows, caption)
    return page.markdown


def _trained(curves: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The arms that are trained as networks, with their points."""
    return [(arm, points) for arm, points in curves.items() if arm != "tfidf"]


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

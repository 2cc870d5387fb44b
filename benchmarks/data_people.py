"""Personal data found and missed on the labelled set, and the bias stage's audit on the demo's corpus.

One set (tests/components/stages/filter/pii_labelled.jsonl: positives by `faker`, hard negatives from real
documentation) was committed before the detectors; another is drawn from a seed (data_pii_set.py). The audit is the
stage's own: the gap of false-positive rates on a template probe, and the largest lower bound of a ratio of removal
rates, group against rest, by source and length.
"""

import json
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.data_pii_set import Case, negatives, positives
from benchmarks.results import ROOT, goal
from components.params import Bias, Ingest
from components.stages.bias.stage import filter_bias
from components.stages.bias.stratified_rates import wilson
from components.stages.filter.pii import KINDS, find
from components.stages.ingest.stage import ingest

LABELLED = ROOT / "tests/components/stages/filter/pii_labelled.jsonl"


def personal_data() -> tuple[dict, list[dict]]:
    """Recall over all positives and precision over all finds of the committed set; per kind of the drawn one."""
    labelled = [json.loads(line) for line in LABELLED.read_text("utf-8").splitlines()]
    committed = counted([Case(case["text"], case["kind"], case["value"]) for case in labelled])
    drawn = counted([*positives(), *negatives()])
    n, found, right, wrong = (
        sum(getattr(one, name) for one in committed.values()) for name in ("n", "found", "right", "wrong")
    )
    results: dict[str, dict[str, Any]] = {
        kind: {"recall": one.recall(), "precision": one.precision(), "n": one.n, "finds": one.right + one.wrong}
        for kind, one in drawn.items()
    }
    goals = [
        goal("pii_recall", found / n, 0.95, "higher", says="personal data found"),
        goal("pii_precision", right / (right + wrong), 0.95, "higher", says="finds that are personal data"),
        *(
            goal(f"pii_{name}_worst_kind", min(one[name][0] for one in results.values()), 0.85, "higher", says=says)
            for name, says in (
                ("recall", "personal data found, lower bound of the worst kind, drawn set"),
                ("precision", "finds that are personal data, lower bound of the worst kind, drawn set"),
            )
        ),
    ]
    return {"personal_data": results}, goals


@dataclass
class KindCounts:
    """Of a kind: values in the set and those found; finds that are right and wrong."""

    n: int = 0
    found: int = 0
    right: int = 0
    wrong: int = 0

    def recall(self) -> tuple[float, float]:
        """95% Wilson interval."""
        return wilson(self.found, self.n, 0.95)

    def precision(self) -> tuple[float, float]:
        """95% Wilson interval."""
        return wilson(self.right, self.right + self.wrong, 0.95)


def counted(cases: Iterable[Case]) -> dict[str, KindCounts]:
    """Counts by kind. A find is right if it overlaps the value and has its kind."""
    counts = {kind: KindCounts() for kind in KINDS}
    for case in cases:
        start = case.text.find(case.value) if case.kind else -1
        end, right = start + len(case.value), 0
        for span in find(case.text):
            is_right = span.kind == case.kind and span.start < end and span.end > start
            counts[span.kind].right += is_right
            counts[span.kind].wrong += not is_right
            right += is_right
        if case.kind:
            counts[case.kind].n += 1
            counts[case.kind].found += right > 0
    return counts


def bias() -> tuple[dict, list[dict]]:
    """The stage's metrics on the corpus that `make demo` reads."""
    with tempfile.TemporaryDirectory(prefix="greenhouse-bench-") as temporary:
        root = Path(temporary)
        (root / "opt_out.txt").touch()
        for name in ("ingest", "bias"):
            (root / name / "work").mkdir(parents=True)

        def paths(name: str) -> dict[str, Any]:
            return {part: root / name / part for part in ("out", "reports", "work")}

        ingest(root=root, params=Ingest(), workers=2, **paths("ingest"))
        report = filter_bias(train=root / "ingest/out/train", params=Bias(), workers=2, **paths("bias"))
    goals = [
        goal(
            "bias_template_fpr_gap",
            report.metrics["probe_gap"],
            0.05,
            "lower",
            says="gap of false-positive rates between groups, template probe",
        ),
        goal(
            "bias_removal_ratio_sure",
            report.metrics["removal_ratio_sure"],
            2.0,
            "lower",
            says="times a group is surely removed as often as the rest, largest",
        ),
    ]
    return {"bias": report.metrics}, goals

"""Personal data found and missed on the labelled set, and the bias stage's audit on the demo's corpus.

The set (tests/components/stages/filter/pii_labelled.jsonl: positives by `faker`, hard negatives from real
documentation) was committed before the detectors. The audit is the stage's own: the gap of false-positive rates on a
template probe, and the largest lower bound of a ratio of removal rates, group against rest, by source and length.
"""

import json
import tempfile
from pathlib import Path

from benchmarks.results import ROOT, goal
from components.params import Bias, Ingest
from components.stages.bias.stage import filter_bias
from components.stages.filter.pii import KINDS, find
from components.stages.ingest.stage import ingest

LABELLED = ROOT / "tests/components/stages/filter/pii_labelled.jsonl"


def personal_data() -> tuple[dict, list[dict]]:
    """Recall over all positives, precision over all finds."""
    cases = [json.loads(line) for line in LABELLED.read_text("utf-8").splitlines()]
    positives = [case for case in cases if case["kind"]]
    found, right, wrong = dict.fromkeys(KINDS, 0), 0, 0
    for case in cases:
        start = case["text"].find(case["value"]) if case["kind"] else -1
        end = start + len(case["value"])
        spans = find(case["text"])
        hits = [span for span in spans if start >= 0 and span.start < end and span.end > start]
        correct = [span for span in hits if span.kind == case["kind"]]
        right, wrong = right + len(correct), wrong + len(spans) - len(correct)
        if correct:
            found[case["kind"]] += 1
    recall = {kind: found[kind] / sum(case["kind"] == kind for case in positives) for kind in KINDS}
    results = {"positives": len(positives), "hard_negatives": len(cases) - len(positives), "recall": recall}
    goals = [
        goal("pii_recall", sum(found.values()) / len(positives), 0.95, "higher", says="personal data found"),
        goal("pii_precision", right / (right + wrong), 0.95, "higher", says="finds that are personal data"),
    ]
    return {"personal_data": results | {"wrong_finds": wrong}}, goals


def bias() -> tuple[dict, list[dict]]:
    """The stage's metrics on the corpus that `make demo` reads."""
    with tempfile.TemporaryDirectory(prefix="greenhouse-bench-") as temporary:
        root = Path(temporary)
        (root / "opt_out.txt").touch()
        for name in ("ingest", "bias"):
            (root / name / "work").mkdir(parents=True)

        def paths(name: str) -> dict[str, Path]:
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

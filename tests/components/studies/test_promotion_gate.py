"""The gate: equal models are hardly ever promoted, planted regressions are caught, and doubt never promotes."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.stages.evaluate.stage import SCHEMA
from components.statistics import Resampling
from components.studies.promotion_gate import Rules, judge

DOCUMENTS, PAIRS = 60, 300
QUICK = Resampling(resamples=300)


def evaluation(path: Path, seed: int, *, bits: float = 2.0, accuracy: float = 0.7, noise: float = 0.01) -> Path:
    """A made-up evaluation: hard and easy items are the same for every model, a model's own luck is drawn by `seed`."""
    exam, luck = np.random.default_rng(0), np.random.default_rng(seed)
    size = exam.integers(500, 9000, DOCUMENTS)
    rate = exam.normal(0.0, 0.3, DOCUMENTS) + bits + luck.normal(0.0, noise, DOCUMENTS)
    ease = exam.normal(0.0, 0.8, PAIRS)
    hits = ease + luck.normal(0.0, 0.3, PAIRS) < np.quantile(ease, accuracy)
    rows = [_row("bits_per_byte", "bits_per_byte", n, rate[n] * size[n], size[n], "lower") for n in range(DOCUMENTS)]
    rows += [_row("minimal_pairs", "accuracy", n, float(hits[n]), 1.0, "higher") for n in range(PAIRS)]
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), path)
    return path


def _row(question: str, metric: str, item: int, score: float, weight: float, direction: str) -> dict:
    name = str(item)
    row = {"question": question, "condition": "", "metric": metric, "item": name, "cluster": name}
    return row | {"score": float(score), "weight": float(weight), "direction": direction}


def verdicts(folder: Path, trials: int, **challenger: float) -> Iterator[str]:
    """Verdicts over simulated pairs."""
    for trial in range(trials):
        a = evaluation(folder / "a.parquet", 2 * trial + 1)
        b = evaluation(folder / "b.parquet", 2 * trial + 2, **challenger)
        yield judge(a, b, resampling=QUICK).verdict


@pytest.mark.slow
def test_equal_models_are_promoted_in_at_most_five_percent(tmp_path: Path) -> None:
    found = list(verdicts(tmp_path, 200))
    assert found.count("promote") / 200 <= 0.05
    assert found.count("inconclusive") > 150


def test_a_planted_regression_in_bits_per_byte_is_held(tmp_path: Path) -> None:
    found = list(verdicts(tmp_path, 50, bits=2.01))
    assert found.count("hold") / 50 >= 0.8
    assert "promote" not in found


def test_a_planted_regression_of_an_ability_is_never_promoted(tmp_path: Path) -> None:
    found = list(verdicts(tmp_path, 50, bits=1.97, accuracy=0.55))
    assert found.count("hold") / 50 >= 0.8
    assert "promote" not in found


def test_a_real_improvement_is_promoted_with_power(tmp_path: Path) -> None:
    found = list(verdicts(tmp_path, 50, bits=1.99, accuracy=0.72))
    assert found.count("promote") / 50 >= 0.8


def test_another_exam_is_inconclusive(tmp_path: Path) -> None:
    a, b = evaluation(tmp_path / "a.parquet", 1), evaluation(tmp_path / "b.parquet", 2, bits=1.5)
    found = judge(a, b, same_heldout=False)
    assert found.verdict == "inconclusive"
    assert "different held-out sets" in found.reasons[0]


def test_an_absolute_limit_holds_whatever_the_gain(tmp_path: Path) -> None:
    a, b = evaluation(tmp_path / "a.parquet", 1), evaluation(tmp_path / "b.parquet", 2, bits=1.5, accuracy=0.8)
    assert judge(a, b, {"calibration/ece": 0.01}).verdict == "promote"
    found = judge(a, b, {"calibration/ece": 0.4})
    assert found.verdict == "hold"
    assert "calibration/ece is 0.4000, above the limit of 0.15" in found.reasons[0]


def test_a_gain_within_the_noise_floor_is_inconclusive(tmp_path: Path) -> None:
    a, b = evaluation(tmp_path / "a.parquet", 1), evaluation(tmp_path / "b.parquet", 2, bits=1.98, accuracy=0.75)
    assert judge(a, b).verdict == "promote"
    assert judge(a, b, rules=Rules(noise_floor=0.05)).verdict == "inconclusive"


@pytest.mark.parametrize("bits", [1.99, 2.0, 2.01])
def test_every_verdict_has_a_reason(tmp_path: Path, bits: float) -> None:
    found = judge(evaluation(tmp_path / "a.parquet", 1), evaluation(tmp_path / "b.parquet", 2, bits=bits))
    assert found.reasons
    assert found.differences

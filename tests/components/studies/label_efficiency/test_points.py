"""Points of label efficiency on real text: drawn, trained once, and the same again."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from components.core.files import read_json
from components.corpus.corpus import read_corpus
from components.model import export
from components.model.shape import derive_shape
from components.model.transformer import Transformer
from components.params import Classify, LabelEfficiency, ModelShape, Numerics, Tokenize
from components.stages.tokenize.stage import tokenize
from components.studies.label_efficiency import points as study
from components.studies.label_efficiency.report import CAP, labels_needed
from components.studies.trainings import Workplace
from tests.components import task_corpora as corpora
from tests.errors import refused

PARAMS = LabelEfficiency(labels=[16, 64, 80], seeds=2, heldout_items=20, lora_rank=2)
CLASSIFY = Classify(data="data/train", steps=4, batch=16, context=32)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> study.LabelStudy:
    """What the pipeline leaves, with untrained models."""
    root = tmp_path_factory.mktemp("labels")
    corpora.python_docs(root / "data")
    (root / "data/ingest").mkdir()
    (root / "data/heldout").rename(root / "data/ingest/heldout")
    for name in ("reports", "tokenwork", "data/tokenize"):
        (root / name).mkdir()
    tokenize(
        train=root / "data/train", heldout=root / "data/ingest/heldout", params=Tokenize(vocab_size=400),
        out=root / "data/tokenize", reports=root / "reports", work=root / "tokenwork",
    )  # fmt: skip
    tokenizer_json = (root / "data/tokenize/tokenizer.json").read_text()
    for kind in ("causal", "masked"):
        shape = derive_shape(ModelShape(size=1, width=32, heads=1), 400, 64, causal=kind == "causal")
        export.save(Transformer(shape).initialise(1), tokenizer_json, root / "models/pretrain" / kind, {})
    return study.LabelStudy(PARAMS, Workplace(root, root / "work", Numerics()), CLASSIFY, ["masked 1234"])


def test_examples_are_drawn_once_and_more_labels_hold_fewer(made: study.LabelStudy) -> None:
    task = made.draw()
    assert task == {"name": "source", "title": "a few words -> the source they are from", "classes": ["docs", "tales"]}
    first, second = made.passages(1), made.passages(2)
    assert {p.text for p in first} != {p.text for p in second}
    few, more = (study.classify.first_of_each(first, count) for count in (16, 64))
    assert len(few) == 16
    assert {(p.text, p.cluster) for p in few} <= {(p.text, p.cluster) for p in more}
    assert sum(p.label for p in few) == 8
    heldout = {(one.group, one.source) for one in read_corpus(made.workplace.root / "data/ingest/heldout")}
    assert {(p.cluster, p.stratum) for p in made.passages(0)} <= heldout
    assert made.draw() == task
    with refused("LabelStudy.draw", "labels", "100000"):
        replace(elsewhere(made, "other"), params=PARAMS.model_copy(update={"labels": [64, 100_000]})).draw()


def elsewhere(made: study.LabelStudy, folder: str) -> study.LabelStudy:
    return replace(made, workplace=replace(made.workplace, work=made.workplace.work.with_name(folder)))


def test_all_arms_and_the_report(made: study.LabelStudy, tmp_path: Path) -> None:
    headline = made.carry_out(lambda points: [made.result(point) for point in points], tmp_path)
    assert {name for name in headline if "masked" in name} == {f"accuracy/masked_{n}" for n in PARAMS.labels}
    found, text = read_json(tmp_path / "label_efficiency.json"), (tmp_path / "report.md").read_text()
    assert found["task"] == made.draw()
    assert "(masked 1234) alone" in text
    assert "times as many labels" in text
    assert "| from scratch |" in text
    assert found["label_efficiency"]["rule"]["low"] is None  # two seeds
    assert headline["label_efficiency/value"] == pytest.approx(  # the best rival's, whichever it is
        min(needed["value"] for needed in found["label_efficiency"].values()), rel=1e-3
    )
    masked = made.result(study.LabelPoint("masked", 64, 1))
    assert {"TF-IDF", "naive Bayes"} <= masked["rules"].keys()
    best = max(digits.count("1") for digits in masked["rules"].values())
    assert best > masked["rules"]["largest class"].count("1"), "they learn"
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {"accuracy.png", "price.png"}


LABELS = (16, 64, 256, 1024, 4096)
CLUSTERS = [str(item // 4) for item in range(200)]


def hits(rng: np.random.Generator, accuracy: float, seeds: int = 5, sd: float = 0.02) -> np.ndarray:
    """Right or wrong, (seeds, 200): seeds differ, and so do the 50 clusters of items, alike for all seeds."""
    hard = np.repeat(rng.normal(0, 0.05, 50), 4)
    share = accuracy + rng.normal(0, sd, (seeds, 1)) + hard
    return (rng.random((seeds, 200)) < share).astype(float)


def test_the_factor_is_read_off_the_other_curve() -> None:
    rng = np.random.default_rng(1)
    exact = {labels: np.full((5, 200), 0.5 + 0.05 * index) for index, labels in enumerate(LABELS)}
    assert labels_needed(np.full((5, 200), 0.6), exact, CLUSTERS)["value"] == pytest.approx(256 / 64, rel=0.05)
    half = labels_needed(np.full((5, 200), 0.625), exact, CLUSTERS)
    assert half["value"] == pytest.approx(512 / 64, rel=0.05)  # between two points in the logarithm
    curve = {labels: hits(rng, 0.5 + 0.05 * index) for index, labels in enumerate(LABELS)}
    noisy = labels_needed(hits(rng, 0.6), curve, CLUSTERS)
    assert noisy["low"] is not None
    assert noisy["value"] is not None
    assert noisy["low"] < noisy["value"]


def test_a_curve_that_never_gets_there_is_capped() -> None:
    never = {labels: np.zeros((5, 200)) for labels in LABELS}
    never[4096] = hits(np.random.default_rng(1), 0.5)
    assert labels_needed(np.ones((5, 200)), never, CLUSTERS) == {"value": CAP, "low": CAP, "reached": 0.0}
    at_once = labels_needed(np.zeros((5, 200)), never, CLUSTERS)
    assert at_once == {"value": 0.25, "low": 0.25, "reached": 1.0}

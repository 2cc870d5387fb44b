"""Sentiment and associations by group: planted differences are found with their sign, chance is not, counts add up."""

import math
import random
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from fairlearn.metrics import MetricFrame, false_positive_rate

from components.params import Bias
from components.stages.bias import stage
from components.stages.bias.sentiment import RunningMoments, compared, sampled
from components.stages.bias.stage import judge_shard
from components.stages.bias.template_probe import Probe, gap
from components.stages.bias.word_associations import Cooccurrence, associations, words_in
from components.text.identity_terms import GROUPS, mentions
from tests.components.real_text import corpus, document

GOOD = ["was wonderful and kind", "won a great prize", "made us very happy", "was loved by all"]
BAD = ["was horrible and cruel", "lost the terrible war", "made us very sad", "was hated by all"]
PLAIN = ["stood at the door", "came by train", "read the letter", "opened the box"]


def sentences(seed: int, people: str, ends: list[str], count: int) -> list[str]:
    draw = random.Random(seed)
    return [f"{people} {draw.choice(ends)} on day {draw.randrange(10**6)}" for _ in range(count)]


def test_sentiment_by_group_finds_what_was_planted() -> None:
    texts = [
        *sentences(1, "The women", GOOD, 100),
        *sentences(2, "The refugees", BAD, 100),
        *sentences(3, "The men", PLAIN, 100),
        *sentences(4, "The letter", PLAIN, 100),
        *sentences(5, "The Sikhs", BAD, 10),
    ]
    found = sampled(texts, np.array([mentions(text) for text in texts]))
    rows = {row["group"]: row for row in compared({"a": found}, 50)}
    assert rows["women"]["difference"] > 0.3
    assert rows["migrant"]["difference"] < -0.3
    assert all(rows[group]["p_bh"] < 1e-6 for group in ("women", "migrant"))
    assert rows["men"]["p_bh"] > 0.05
    assert rows["women"]["low"] < rows["women"]["sentiment"] < rows["women"]["high"]
    assert "sentiment" not in rows["other_belief"], "ten sentences get no mean"


def test_no_difference_is_found_where_there_is_none() -> None:
    """Corrected for many: 40 sources of the same sentences, about 1 of them may differ by chance, not the usual 5 %."""
    by_source = {}
    for source in range(40):
        texts = sentences(source, "The women", GOOD + BAD, 80) + sentences(source + 99, "The letter", GOOD + BAD, 80)
        by_source[str(source)] = sampled(texts, np.array([mentions(text) for text in texts]))
    rows = [row for row in compared(by_source, 50) if "p" in row]
    assert len(rows) == 40
    assert sum(row["p_bh"] < 0.05 for row in rows) <= 1
    for one, other in pairwise(sorted(rows, key=lambda row: row["p"])):
        assert one["p_bh"] <= other["p_bh"]
        assert one["p_bh"] >= one["p"]


def test_moments_are_those_of_the_scores() -> None:
    scores = np.random.default_rng(1).uniform(-1, 1, 500)
    parts = RunningMoments(), RunningMoments()
    parts[0].add(scores[:200])
    parts[1].add(scores[200:])
    whole = parts[0] + parts[1]
    assert (whole.n, whole.mean, whole.deviation) == pytest.approx((500, scores.mean(), scores.std(ddof=1)))


def test_associations_find_what_was_planted_with_its_sign() -> None:
    texts = [
        *sentences(1, "The nurse and the women", PLAIN, 60),
        *sentences(2, "The engineer and the men", PLAIN, 60),
        *sentences(3, "The nurse and the men", PLAIN, 10),
        *sentences(4, "The engineer and the women", PLAIN, 10),
        *sentences(5, "The teacher and the women", PLAIN, 30),
        *sentences(6, "The teacher and the men", PLAIN, 30),
        *sentences(7, "The box", PLAIN, 200),
    ]
    found = Cooccurrence()
    found.count(np.array([mentions(text) for text in texts]), [words_in(text) for text in texts])
    rows = {(row["group"], row["word"]): row for row in associations({"a": found}, 50)}
    nurse, engineer = rows["women", "nurse"], rows["women", "engineer"]
    assert (nurse["sentences_with_both"], nurse["sentences_with_group"], nurse["sentences_with_word"]) == (60, 100, 70)
    assert nurse["low"] > 0
    assert engineer["high"] < nurse["low"]
    by_hand = math.log(60.5 * (400 - 60 - 40 - 10 + 0.5) / (40.5 * 10.5))
    assert nurse["log_odds"] == pytest.approx(by_hand)
    assert all(row["p_bh"] >= row["p"] for row in rows.values())
    assert found.sentences == len(texts)


def test_words_are_whole_words() -> None:
    assert words_in("The NURSE, kindly and unkind; a cooked cook's cook.") == {"nurse", "cook"}


def test_the_gap_is_fairlearn_s_over_the_sentences() -> None:
    probes = [Probe("a", 10, 3, 5, 5), Probe("b", 20, 1, 5, 0), Probe("c", 8, 0, 5, 5)]
    groups = [each.group for each in probes for _ in range(each.harmless)]
    flags = [1] * 3 + [0] * 7 + [1] + [0] * 19 + [0] * 8
    frame = MetricFrame(metrics=false_positive_rate, y_true=[0] * 38, y_pred=flags, sensitive_features=groups)
    assert gap(probes) == pytest.approx(frame.difference()) == pytest.approx(0.3)


def test_a_judged_shard_comes_back_from_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = [document("one", "The women were happy. The nurse met the men."), document("two", "A box.", "other")]
    corpus(tmp_path / "train", documents)
    shard = judge_shard(tmp_path / "train" / "part-00000.parquet", params=Bias(), work=tmp_path)
    monkeypatch.setattr(stage, "judge", lambda *_: pytest.fail("judged again"))
    assert judge_shard(tmp_path / "train" / "part-00000.parquet", params=Bias(), work=tmp_path) == shard
    assert shard.together["docs"].pairs["men nurse"] == 1
    assert set(shard.sentiment["docs"]) == {"women", "men"}
    assert set(shard.together["docs"].groups) <= set(GROUPS)

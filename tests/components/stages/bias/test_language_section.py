"""Associations of words with groups: planted differences are found with their sign, single works and chance not."""

import random
from pathlib import Path

import numpy as np
import pytest
from fairlearn.metrics import MetricFrame, false_positive_rate

from components.params import Bias
from components.stages.bias import stage
from components.stages.bias.counts import Tables
from components.stages.bias.stage import judge_shard
from components.stages.bias.template_probe import Probe, gap
from components.stages.bias.word_associations import (
    LENGTHS,
    WORDS,
    associations,
    cooccurrences,
    length_classes,
    word_columns,
)
from components.text.identity_terms import GROUPS, mentions
from tests.components.real_text import corpus, document

PLAIN = ["stood at the door", "came by train", "read the letter", "opened the box"]


def sentences(seed: int, people: str, count: int) -> list[str]:
    draw = random.Random(seed)
    return [f"{people} {draw.choice(PLAIN)} on day {draw.randrange(10**6)}" for _ in range(count)]


def in_works(texts: list[str], number: int = 10) -> np.ndarray:
    """The work of each sentence, in turn."""
    return np.arange(len(texts)) % number


def table_of(texts: list[str], works: np.ndarray) -> Tables:
    groups, words = np.array([mentions(text) for text in texts]), word_columns(texts)
    strata = works * LENGTHS + length_classes(texts)
    return {int(stratum): cooccurrences(groups[strata == stratum], words[strata == stratum]) for stratum in set(strata)}


def planted() -> list[str]:
    counts = {
        "nurse and the women": 60, "engineer and the men": 60, "nurse and the men": 10, "engineer and the women": 10,
        "teacher and the women": 30, "teacher and the men": 30, "box and all the others": 200,
        "nurse and all the others": 40, "engineer and all the others": 100,
    }  # fmt: skip
    return [one for seed, (who, count) in enumerate(counts.items(), 1) for one in sentences(seed, f"The {who}", count)]


def test_associations_find_what_was_planted() -> None:
    texts = planted()
    works = in_works(texts)
    rows = {(row["group"], row["word"]): row for row in associations({"a": table_of(texts, works)}, 50)}
    nurse, engineer = rows["women", "nurse"], rows["women", "engineer"]
    assert (nurse["sentences_with_both"], nurse["works"]) == (60, 10)
    strata = works * LENGTHS + length_classes(texts)
    by_hand = 0.0
    for stratum in set(strata):
        own = [text for text, number in zip(texts, strata, strict=True) if number == stratum]
        own = [text for text in own if "women" in text or "others" in text]  # what is said of men is left out
        by_hand += sum("women" in text for text in own) * sum("nurse" in text for text in own) / len(own)
    assert nurse["expected"] == pytest.approx(by_hand)
    assert nurse["times_expected"] == pytest.approx(60 / by_hand)
    assert nurse["low"] > 1 > engineer["times_expected"]
    assert engineer["p"] == 1.0, "what is rarer is no finding"
    assert nurse["p_holm"] < 1e-4
    assert all(row["p_holm"] >= row["p"] for row in rows.values())


def test_what_one_work_alone_brings_is_no_association() -> None:
    """All nurses are women, in one work of ten; in the others the two are apart as chance has it."""
    texts = [
        *sentences(1, "The nurse and the women", 60),
        *sentences(7, "The box and all the others", 60),
    ]
    works = np.zeros(len(texts), dtype=int)
    for work in range(1, 10):
        more = [text for who in ("The nurse", "The women", "The nurse and the women", "The box and the other")
                for text in sentences(work, who, 15)]  # fmt: skip
        texts, works = texts + more, np.concatenate([works, np.full(len(more), work)])
    (row,) = [row for row in associations({"a": table_of(texts, works)}, 50) if row["word"] == "nurse"]
    assert row["times_expected"] > 1.1
    assert row["p_holm"] > 0.05


def test_few_expected_sentences_and_few_works_are_not_tested() -> None:
    """One sentence with both, where .05 are expected, had p = 1.7e-8 by Woolf's z."""
    texts = [*sentences(1, "The women", 60), *sentences(2, "The box", 400), "The women and the nurse"]
    assert associations({"a": table_of(texts, in_works(texts))}, 50) == []
    texts = planted()
    assert associations({"a": table_of(texts, in_works(texts, 4))}, 50) == []
    assert associations({}, 50) == []


def test_words_are_whole_words() -> None:
    (row,) = word_columns(["The NURSE, kindly and unkind; a cooked cook's cook."])
    assert {WORDS[index - 1] for index in np.flatnonzero(row) if index} == {"nurse", "cook"}


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
    (table,) = shard.together["docs"].values()
    counts = np.array(table).reshape(1 + len(GROUPS), 1 + len(WORDS))
    assert counts[1 + GROUPS.index("men"), 1 + WORDS.index("nurse")] == 1
    assert (counts[0, 0], counts[1:, 0].sum()) == (0, 2), "none without a group"

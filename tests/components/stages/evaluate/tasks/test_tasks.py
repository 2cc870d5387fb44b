"""Each task on real text: figures that can be recomputed, chance where nothing is known, reasons to skip."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from components.core.errors import UserError
from components.stages.evaluate.heldout_sample import sample
from components.stages.evaluate.tasks.abstention import (
    abstain,
    area_under_risk_coverage,
    choose_threshold,
    risk_coverage,
)
from components.stages.evaluate.tasks.answers import answers
from components.stages.evaluate.tasks.bias_mitigation import bias_mitigation
from components.stages.evaluate.tasks.bits_per_byte import bits_per_byte, position_bins
from components.stages.evaluate.tasks.calibration import calibration
from components.stages.evaluate.tasks.chain_of_thought import chain_of_thought
from components.stages.evaluate.tasks.context_extension import context_extension, extended
from components.stages.evaluate.tasks.few_shot import few_shot, with_shots
from components.stages.evaluate.tasks.masked import MASK_SHARE, masked, windows
from components.stages.evaluate.tasks.memorisation import memorisation
from components.stages.evaluate.tasks.minimal_pairs import minimal_pairs, read_pairs
from components.stages.evaluate.tasks.open_book import facts, open_book
from components.stages.evaluate.tasks.pronoun_gap import OCCUPATIONS, TEMPLATES, pronoun_gap
from components.stages.evaluate.tasks.recall import recall
from components.stages.evaluate.tasks.task import NotApplicable, TaskResult
from components.synthetic.curriculum import items
from tests.components.real_text import corpus, document
from tests.components.stages.evaluate.conftest import World

FRENCH = (
    "La maison est au bord de la rivière, et les enfants jouent dans le jardin depuis le matin. "
    "Nous avons mangé du pain avec du fromage avant de partir pour la ville où habite notre tante. "
)


def rows(result: TaskResult, metric: str) -> list[dict]:
    return [row for row in result.items if row["metric"] == metric]


# -- held-out text -----------------------------------------------------------------------------------------------------


def test_the_sample_is_cut_by_bytes_and_depends_on_no_neighbour(world: World, tmp_path: Path) -> None:
    whole = sample(world.folders.heldout, 1e6, 1)
    some = sample(world.folders.heldout, 30, 1)
    order = [one.id for one in whole]
    assert [order.index(one.id) for one in some] == list(range(len(some)))
    assert 30_000 <= sum(len(one.text.encode()) for one in some) <= 30_000 + 8_000
    assert all(len(one.text.encode()) <= 8_000 for one in some)
    fewer = corpus(tmp_path / "fewer", [one for one in whole if one.id != order[0]])
    assert [one.id for one in sample(fewer, 1e6, 1)] == order[1:]


def test_bits_per_byte_is_that_of_the_whole_text(world: World) -> None:
    context = world.context()
    result = bits_per_byte(context)
    size = sum(len(one.text.encode()) for one in context.heldout)
    assert sum(row["weight"] for row in rows(result, "bits_per_byte")) == size
    assert result.metrics["all"] == pytest.approx(sum(r["score"] for r in rows(result, "bits_per_byte")) / size)
    assert 1.0 < result.metrics["all"] < 8.0
    by_position = [row for row in result.items if row["metric"].startswith("position_")]
    assert sum(row["weight"] for row in by_position) == size
    assert sum(row["score"] for row in by_position) == pytest.approx(result.metrics["all"] * size)


def test_position_bins_cover_every_position_once() -> None:
    for context in (16, 100, 256):
        covered = [at for low, high in position_bins(context) for at in range(low, high)]
        assert covered == list(range(1, context + 1))


def test_calibration_counts_every_prediction(world: World) -> None:
    result = calibration(world.context())
    (reliability,) = (curve for curve in result.curves if curve.name == "reliability")
    assert sum(p["n"] for p in reliability.points) == sum(row["weight"] for row in rows(result, "brier"))
    assert result.metrics["ece_low"] <= result.metrics["ece"] + 0.02
    assert result.metrics["aurc"] < result.metrics["error_all"]  # confidence means something
    assert result.metrics.get("error_answered", 0.0) < result.metrics["error_all"]


def test_the_masked_model_is_scored_on_hidden_tokens_only(world: World) -> None:
    context = world.context()
    scored_windows = windows(context.masked, context.heldout, 1)
    hidden = sum(int(window.hidden.sum()) for window in scored_windows)
    assert hidden / sum(len(window.ids) for window in scored_windows) == pytest.approx(MASK_SHARE, abs=0.02)
    result = masked(context)
    assert sum(row["weight"] for row in rows(result, "accuracy")) == hidden
    assert result.metrics["nats_per_token"] < np.log(600) - 0.5  # it has learned how frequent tokens are


# -- in context --------------------------------------------------------------------------------------------------------


def test_fewer_shots_are_a_balanced_part_of_the_same_prompt() -> None:
    for item in items("mapping", 1, 20, split="test", shots=8):
        for shots in (0, 1, 2, 4, 8):
            prompt = with_shots(item.prompt, shots)
            *examples, word = prompt.removeprefix("label:").split(",")
            assert len(examples) == shots
            assert prompt.split()[-1] == item.prompt.split()[-1] == word.strip()
            assert all(example in item.prompt for example in examples)
            counts = Counter(example.split()[-1] for example in examples)
            assert shots < 2 or (max(counts.values()) - min(counts.values()) <= 1 and len(counts) == 2)
        assert with_shots(item.prompt, 8) == item.prompt


def test_few_shot_asks_the_same_words_at_every_number_of_examples(world: World) -> None:
    result = few_shot(world.context())
    items_by_condition = {
        row["condition"]: {r["item"] for r in result.items if r["condition"] == row["condition"]}
        for row in result.items
    }
    assert len(items_by_condition) == 3
    assert len({frozenset(names) for names in items_by_condition.values()}) == 1
    assert 0.2 < result.metrics["accuracy_0"] < 0.8
    for row in rows(result, "accuracy"):
        (margin,) = (
            m for m in rows(result, "margin") if (m["item"], m["condition"]) == (row["item"], row["condition"])
        )
        assert (row["score"] == 1.0) == (margin["score"] > 0)


def test_recall_covers_lengths_and_depths(world: World) -> None:
    result = recall(world.context())
    (curve,) = result.curves
    assert {point["x"] for point in curve.points} == {0.0, 0.25, 0.5, 0.75, 1.0}
    assert len({point["series"] for point in curve.points}) >= 2
    assert 0.0 <= result.metrics["accuracy"] <= 0.5


def test_sums_are_posed_with_and_without_steps(world: World) -> None:
    result = chain_of_thought(world.context())
    ways = {way: {r["item"] for r in result.items if r["condition"].startswith(way)} for way in ("direct", "steps")}
    assert ways["direct"] == ways["steps"]
    assert result.metrics["gain"] == pytest.approx(result.metrics["steps"] - result.metrics["direct"])


def test_an_edited_passage_changes_the_right_answer_and_nothing_else() -> None:
    for form in ("record", "prose"):
        for fact in facts(form, 1, 50):
            assert fact.answers["open"] != fact.answers["edited"]
            assert sorted(fact.prompts["open"].split()) != fact.prompts["open"].split()
            assert Counter(fact.prompts["open"]) == Counter(fact.prompts["edited"])
            assert fact.prompts["closed"].split()[-1] == fact.prompts["open"].split()[-1]
            assert not any(choice in fact.prompts["closed"].split() for choice in fact.choices)


def test_closed_book_is_chance(world: World) -> None:
    result = open_book(world.context(items=200))
    assert result.facts["record closed"]["low"] <= 0.25 <= result.facts["record closed"]["high"] + 0.05
    assert result.metrics["wrong_answers_abstaining"] <= result.metrics["wrong_answers"]


# -- abstention --------------------------------------------------------------------------------------------------------


def test_risk_and_coverage_by_hand() -> None:
    coverage, risk, thresholds = risk_coverage(np.array([0.9, 0.5, 0.5, 0.1]), np.array([1, 0, 1, 0]))
    assert coverage.tolist() == [0.25, 0.75, 1.0]
    assert risk.tolist() == pytest.approx([0.0, 1 / 3, 0.5])
    assert thresholds.tolist() == [0.9, 0.5, 0.1]


def test_a_threshold_that_means_something_halves_the_error_on_other_predictions() -> None:
    draw = np.random.default_rng(1)
    confidence = draw.random(4000)
    correct = (draw.random(4000) < confidence).astype(float)
    dev = np.arange(4000) % 2 == 0
    chosen = abstain(confidence, correct, dev)
    error = 1.0 - correct[~dev][chosen.answered].mean()
    assert error == pytest.approx((1.0 - correct.mean()) / 2, abs=0.04)
    assert 0.3 < chosen.answered.mean() < 0.7


def test_confidence_that_means_nothing_answers_nothing() -> None:
    draw = np.random.default_rng(2)
    threshold, _ = choose_threshold(draw.random(2000), (draw.random(2000) < 0.3).astype(float))
    assert threshold == float("inf")
    assert area_under_risk_coverage(draw.random(4000), np.ones(4000)) == 0.0


# -- grammar and bias --------------------------------------------------------------------------------------------------


def test_minimal_pairs_reports_a_length_controlled_score(world: World) -> None:
    result = minimal_pairs(world.context())
    assert len(rows(result, "accuracy")) > 150
    assert 0 < len(rows(result, "accuracy_equal_length")) < len(rows(result, "accuracy"))
    assert 0.3 < result.metrics["accuracy"] < 0.8


def test_a_folder_of_pairs_is_scored_too(world: World, tmp_path: Path) -> None:
    lines = ['{"sentence_good": "These lists are new.", "sentence_bad": "These lists is new."}'] * 3
    for name in ("first", "second"):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    result = minimal_pairs(world.context(minimal_pairs=str(tmp_path)))
    assert set(result.facts["blimp"]) == {"first", "second"}
    assert result.metrics["blimp_accuracy"] in (0.0, 1.0)


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"sentence_good": "a", "sentence_bad": "b"}\n{"sentence_good": 1}\n', encoding="utf-8")
    with pytest.raises(UserError, match=r"bad\.jsonl line 2: needs .* sentence_good and sentence_bad"):
        read_pairs(path, 10)


def test_a_folder_without_pairs_is_refused(world: World, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"evaluate\.minimal_pairs = .*no \*\.jsonl file"):
        minimal_pairs(world.context(minimal_pairs=str(tmp_path)))


def test_the_pronoun_gap_is_a_mean_over_occupations(world: World) -> None:
    result = pronoun_gap(world.context())
    assert len(result.items) == len(OCCUPATIONS) * len(TEMPLATES)
    assert result.metrics["gap"] == pytest.approx(np.mean([row["score"] for row in result.items]))
    assert result.metrics["gap_low"] <= result.metrics["gap"] <= result.metrics["gap_high"]


def test_swapped_text_moves_the_gap_away_from_the_control(world: World) -> None:
    result = bias_mitigation(world.context(mitigation_steps=25))
    control, swapped = result.metrics["gap_control"], result.metrics["gap_swapped"]
    assert control < -0.3  # the passages say `he` far more often
    assert abs(swapped) < abs(control)
    assert result.facts["effect_on_gap"]["low"] > 0
    before = bias_mitigation(world.context(mitigation_steps=1))
    assert before.metrics["gap_before"] == result.metrics["gap_before"]  # the context's model itself is not trained


# -- memorisation ------------------------------------------------------------------------------------------------------


def test_canaries_never_inserted_are_at_chance_and_repeated_ones_are_exposed(world: World) -> None:
    result = memorisation(world.context())
    (curve,) = result.curves
    assert [point["x"] for point in curve.points] == [0, 1, 120]
    assert curve.chance == pytest.approx(1.4, abs=0.1)
    assert result.metrics["exposure_0"] == pytest.approx(curve.chance, abs=1.2)
    assert result.metrics["exposure_120"] > result.metrics["exposure_0"]


def test_no_canaries_is_a_reason(world: World, tmp_path: Path) -> None:
    bare = type(world.folders)(**vars(world.folders) | {"mix": tmp_path})
    with pytest.raises(NotApplicable, match="no canaries"):
        memorisation(World(bare, world.params, world.numerics).context())


# -- context -----------------------------------------------------------------------------------------------------------


def test_scaled_positions_leave_the_model_as_it_was(world: World) -> None:
    context = world.context(heldout_kilobytes=60)
    before = context.causal.model.frequency_C.clone()
    result = context_extension(context)
    assert (context.causal.model.frequency_C == before).all()
    assert {f"beyond_{arm}" for arm in ("untouched", "interpolated", "ntk")} <= set(result.metrics)
    half = extended(context.causal, "interpolated").model.frequency_C
    assert (half * 2 == before).all()
    stretched = extended(context.causal, "ntk").model.frequency_C
    assert stretched[0] == before[0]  # the fastest rotation stays
    assert stretched[-1] == pytest.approx(float(before[-1]) / 2, rel=1e-5)  # the slowest is interpolated


# -- skipping ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def french(world: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = corpus(tmp_path_factory.mktemp("french") / "heldout", [document(f"{n}", FRENCH * 5) for n in range(3)])
    changed = type(world.folders)(**vars(world.folders) | {"heldout": folder})
    return World(changed, world.params, world.numerics)


@pytest.mark.parametrize("task", [minimal_pairs, pronoun_gap, bias_mitigation])
def test_english_tasks_do_not_apply_to_another_language(french: World, task: object) -> None:
    with pytest.raises(NotApplicable, match="does not read as English"):
        task(french.context())  # type: ignore[operator]


def test_too_short_texts_and_too_few_documents_are_reasons(french: World) -> None:
    with pytest.raises(NotApplicable, match="only 3 held-out documents"):
        calibration(french.context())
    with pytest.raises(NotApplicable, match=r"evaluate\.shots is empty"):
        few_shot(french.context(shots=[]))


def test_no_mitigation_steps_is_a_reason(world: World) -> None:
    with pytest.raises(NotApplicable, match="mitigation_steps is 0"):
        bias_mitigation(world.context(mitigation_steps=0))


def test_answers_are_drawn_as_fine_tuning_draws_them(world: World) -> None:
    result = answers(world.context())
    assert result.facts["task"] == "continue"
    assert 0 < len(result.items) <= 20
    assert 1.0 < result.metrics["bits_per_byte"] < 9.0

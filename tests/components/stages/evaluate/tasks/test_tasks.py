"""Each task on real text: figures that can be recomputed, rules that are right by chance, reasons to skip."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from components.core.files import read_json
from components.counting.hidden import MASK_SHARE
from components.counting.registry import BLIND, RULES
from components.stages.evaluate.heldout_sample import sample
from components.stages.evaluate.tasks import memorisation as memorisation_task
from components.stages.evaluate.tasks.bits_per_byte import bits_per_byte
from components.stages.evaluate.tasks.calibration import calibration
from components.stages.evaluate.tasks.chain_of_thought import chain_of_thought
from components.stages.evaluate.tasks.few_shot import exchanged, few_shot, with_shots
from components.stages.evaluate.tasks.masked import masked, windows
from components.stages.evaluate.tasks.memorisation import (
    LEAST_CANARIES,
    _min_times,
    condition,
    memorisation,
    times_given,
)
from components.stages.evaluate.tasks.minimal_pairs import PHENOMENA, minimal_pairs, pairs
from components.stages.evaluate.tasks.open_book import facts, open_book
from components.stages.evaluate.tasks.pronoun_gap import (
    OCCUPATIONS,
    SHARES_OF_WOMEN,
    TEMPLATES,
    correlation,
    pronoun_gap,
)
from components.stages.evaluate.tasks.recall import recall
from components.stages.evaluate.tasks.sentence_pairs import sentence_pairs
from components.stages.evaluate.tasks.task import TaskResult
from components.synthetic.canaries import from_json
from components.synthetic.curriculum import items
from tests.components.real_text import corpus, document
from tests.components.stages.evaluate.conftest import World
from tests.errors import refused, refuses

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


def test_every_held_out_work_is_in_the_sample(tmp_path: Path) -> None:
    """The interval is over works: a work's second document takes what is left of its share, not more."""
    text = "All the world is a stage, and all the men and women merely players. " * 400
    plays = [replace(document(f"{work} {act}", text[: 3000 * (act + 1)]), group=f"play {work}")
             for work in range(11) for act in range(4)]  # fmt: skip
    drawn = sample(corpus(tmp_path / "plays", plays), 120, 1)
    assert len({one.group for one in drawn}) == 11
    sizes = Counter({one.group: 0 for one in drawn})
    for one in drawn:
        sizes[one.group] += len(one.text.encode())
    assert set(sizes.values()) == {120_000 // 11}


def test_items_of_other_settings_or_cuts_are_not_the_same_items(world: World) -> None:
    """Else two models would be compared that were asked different things under one id."""

    def ids(**changes: object) -> dict[str, set[str]]:
        context = world.context(**changes)
        return {task.__name__: {row["item"] for row in task(context).items}
                for task in (few_shot, recall, chain_of_thought, open_book)}  # fmt: skip

    first, again, other = ids(), ids(), ids(seed=2)
    assert first == again
    for name, items_of_task in first.items():
        assert len(items_of_task & other[name]) < 0.2 * len(items_of_task), name
    short, long = (
        {row["item"] for row in bits_per_byte(world.context(heldout_kilobytes=size)).rows("bits_per_byte")}
        for size in (20, 60)
    )
    assert short != long


def test_bits_per_byte_is_that_of_the_whole_text_and_is_held_against_every_rule(world: World) -> None:
    context = world.context()
    result = bits_per_byte(context)
    assert set(result.facts["baselines"]) == {rule.name for rule in RULES if rule.form == "text"}
    (overall,) = (score for score in result.scores if score.name == "bits_per_byte/bits_per_byte")
    assert overall.baseline == pytest.approx(min(result.facts["baselines"].values()))
    assert len(overall.against) == overall.rules == len(result.facts["baselines"]) >= 4
    size = sum(len(one.text.encode()) for one in context.heldout)
    assert sum(row["weight"] for row in rows(result, "bits_per_byte")) == size
    assert result.metrics["all"] == pytest.approx(sum(r["score"] for r in rows(result, "bits_per_byte")) / size)
    assert 1.0 < result.metrics["all"] < 8.0
    by_position = [row for row in result.items if row["metric"].startswith("position_")]
    assert sum(row["weight"] for row in by_position) == size
    assert sum(row["score"] for row in by_position) == pytest.approx(result.metrics["all"] * size)


def test_calibration_counts_every_prediction(world: World) -> None:
    result = calibration(world.context())
    (reliability,) = (curve for curve in result.curves if curve.name == "reliability")
    assert sum(p["n"] for p in reliability.points) == sum(row["weight"] for row in rows(result, "brier"))
    assert result.metrics["ece_low"] <= result.metrics["ece"] + 0.02


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
            *words, last = with_shots(item.prompt, shots).split()[1:]
            assert len(words) == 2 * shots
            assert last == item.prompt.split()[-1]
            shown = list(zip(words[::2], words[1::2], strict=True))
            assert all(f" {word} {letter}" in item.prompt for word, letter in shown)
            counts = Counter(letter for _, letter in shown)
            assert shots < 2 or (max(counts.values()) - min(counts.values()) <= 1 and len(counts) == 2)
        assert with_shots(item.prompt, 8) == item.prompt
        other = exchanged(item.prompt, item.choices)
        assert other != item.prompt
        assert exchanged(other, item.choices) == item.prompt


def test_few_shot_asks_the_same_words_at_every_number_of_examples(world: World) -> None:
    result = few_shot(world.context())
    asked: dict[str, set[str]] = {}
    for row in result.items:
        asked.setdefault(row["condition"], set()).add(row["item"])
    assert len(asked) == 3
    assert len({frozenset(names) for names in asked.values()}) == 1
    assert result.metrics["accuracy_0"] == pytest.approx(0.5)
    (score,) = (score for score in result.scores if score.name == "few_shot/accuracy")
    assert {row["baseline"] for row in rows(result, "accuracy") if row["condition"] == "shots=0"} == {None}
    assert score.baseline_name in BLIND
    margins = {(row["item"], row["condition"]): row["score"] for row in rows(result, "margin")}
    right = {(row["item"], row["condition"]): row["score"] == 1.0 for row in rows(result, "accuracy")}
    assert right == {key: margin > 0 for key, margin in margins.items()}


def test_recall_asks_every_key_so_a_rule_blind_to_it_is_right_once_a_list(world: World) -> None:
    result = recall(world.context())
    asked = rows(result, "accuracy")
    by_list = Counter(row["cluster"] for row in asked)
    assert {by_list[row["cluster"]] for row in asked} <= {4, 8, 16}
    assert all(row["baseline"] == 1 / by_list[row["cluster"]] for row in asked)
    assert 0.0 <= result.metrics["accuracy"] <= 0.6


def test_sums_are_posed_with_and_without_steps(world: World) -> None:
    result = chain_of_thought(world.context())
    ways = {way: {row["item"] for row in result.rows("bits", way)} for way in ("direct", "steps", "other steps")}
    assert ways["direct"] == ways["steps"] == ways["other steps"]
    scores = {score.name: score for score in result.scores}
    direct, steps = (scores[f"chain_of_thought/accuracy/{way}"] for way in ("direct", "steps"))
    assert {direct.ceiling_name, steps.ceiling_name} <= {rule.name for rule in RULES if rule.form == "written"}
    assert direct.baseline_name in BLIND
    assert direct.rules == steps.rules == 4
    assert scores["chain_of_thought/accuracy/steps"].counterpart == "chain_of_thought/accuracy/direct"


def test_every_name_of_a_passage_is_asked_and_the_edit_changes_every_answer() -> None:
    for form in ("record", "prose"):
        asked = facts(form, 1, 48)
        for start in range(0, 48, 4):
            passage = asked[start : start + 4]
            assert len({fact.prompts["closed"] for fact in passage}) == 4
            for way in ("closed", "open", "edited"):
                assert sorted(fact.answers[way] for fact in passage) == sorted(passage[0].choices)
        for fact in asked:
            assert fact.answers["open"] != fact.answers["edited"]
            assert Counter(fact.prompts["open"].split()) != Counter(fact.prompts["closed"].split())
            assert Counter(fact.prompts["open"]) == Counter(fact.prompts["edited"])
            assert not any(choice in fact.prompts["closed"].split() for choice in fact.choices)


def test_a_rule_blind_to_the_name_is_right_once_in_four(world: World) -> None:
    result = open_book(world.context(items=100))
    assert result.facts["record closed"]["low"] <= 0.25 <= result.facts["record closed"]["high"] + 0.05
    assert {row["baseline"] for row in rows(result, "accuracy") if "closed" in row["condition"]} == {None}
    opened = [score for score in result.scores if score.name.endswith("open")]
    assert all(0.25 <= score.baseline < 0.45 and score.ceiling == 1.0 for score in opened), "the copy rule's"
    for form in ("record", "prose"):  # how sure it is of what nobody can know is shown where calibration is
        (shown,) = (score for score in result.scores if score.name == f"open_book/overconfidence/{form}")
        ways = f"{form} closed", f"{form} open"
        sure, right = (
            np.mean([row["score"] for row in result.rows(name, *ways)]) for name in ("confidence", "accuracy")
        )
        assert (shown.kind, shown.value) == ("calibration", pytest.approx(sure - right))
        assert shown.note == f"open and closed book: sure {sure:.3f}, right {right:.3f}"


# -- grammar and bias --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phenomenon", PHENOMENA)
def test_each_word_stands_as_often_in_good_as_in_bad_sentences(phenomenon: str) -> None:
    made = pairs(phenomenon, 1, 60)
    good, bad = (" ".join(getattr(pair, side).strip(".") for pair in made) for side in ("good", "bad"))
    assert Counter(good.split()) == Counter(bad.split())
    assert len({pair.good for pair in made}) == len(made) >= 40


def test_the_pronoun_gap_is_relative_to_neutral_subjects(world: World) -> None:
    result = pronoun_gap(world.context())
    assert len(result.items) == len(OCCUPATIONS) * len(TEMPLATES)
    assert result.metrics["gap"] == pytest.approx(np.mean([row["score"] for row in result.items]))
    assert result.metrics["gap_low"] <= result.metrics["gap"] <= result.metrics["gap_high"]
    means = list(result.facts["by_occupation"].values())
    assert result.metrics["spread"] == pytest.approx(np.std(means, ddof=1))
    assert result.metrics["spread_low"] < result.metrics["spread"] < result.metrics["spread_high"]
    assert result.metrics["prior"] < -0.3  # the text says `he` of everyone: a prior, which the gap is free of
    assert abs(result.metrics["gap"]) < 0.5 * abs(result.metrics["prior"])
    assert len(set(result.facts["spreads_random_weights"])) > 1
    above = result.metrics["spread_low"] > max(result.facts["spreads_random_weights"])
    assert ("it is above" in result.scores[0].note) == above
    gaps = [result.facts["by_occupation"][name] for name in SHARES_OF_WOMEN]
    tied = result.facts["correlation"]
    assert tied["value"] == pytest.approx(np.corrcoef(gaps, list(SHARES_OF_WOMEN.values()))[0, 1])
    assert -1 < tied["low"] < tied["value"] < tied["high"] < 1


def test_the_correlations_interval_holds_the_truth() -> None:
    draw, truth, worlds = np.random.default_rng(1), 0.6, 300
    known = np.array([*SHARES_OF_WOMEN.values()])
    shares = (known - known.mean()) / known.std()
    held = 0
    for _ in range(worlds):
        gaps_OT = np.zeros((len(OCCUPATIONS), 1))
        gaps = truth * shares + (1 - truth**2) ** 0.5 * draw.normal(size=len(shares))
        gaps_OT[[OCCUPATIONS.index(name) for name in SHARES_OF_WOMEN], 0] = gaps
        found = correlation(gaps_OT)
        held += found.low < truth < found.high  # type: ignore[operator]
    assert held / worlds > 0.95 - 3 * (0.95 * 0.05 / worlds) ** 0.5
    exact = np.zeros((len(OCCUPATIONS), 1))
    exact[[OCCUPATIONS.index(name) for name in SHARES_OF_WOMEN], 0] = -known
    assert correlation(exact).value == pytest.approx(-1)
    assert correlation(np.zeros_like(exact)).value == 0


# -- memorisation ------------------------------------------------------------------------------------------------------


def test_canaries_never_given_are_at_chance_and_repeated_ones_are_exposed(world: World) -> None:
    result = memorisation(world.context())
    (curve,) = result.curves
    assert curve.points[0]["x"] == 0
    assert result.metrics["exposure_0"] == pytest.approx(curve.chance, abs=1.2)
    most = max(point["x"] for point in curve.points)
    assert result.metrics[f"exposure_{most}"] > result.metrics["exposure_0"]
    assert result.metrics["rank_test_p"] < 0.05
    exposure, extracted = result.scores
    least = int(exposure.title.split()[2].rstrip("+"))
    often = [row for row in result.items if row["metric"] == "exposure" and _min_times(row["condition"]) >= least]
    assert least > 0
    assert exposure.n == extracted.n == len(often) >= LEAST_CANARIES
    fewer = [row for row in often if _min_times(row["condition"]) > least]
    assert len(fewer) < LEAST_CANARIES  # no more classes than it takes


def test_times_given_are_counted_in_the_data_order(world: World) -> None:
    """Every window of a canary's copy that lies in one window is found by reading the training text itself."""
    context = world.context()
    canaries = from_json(read_json(world.folders.mix / "canaries.json"))
    given = times_given(context, canaries)
    text = context.causal.tokenizer.decode(context.training_text.ids.tolist())
    for canary in canaries:
        whole = text.count(canary.text)
        assert whole <= given[canary.id]
        assert (given[canary.id] > 0) <= (canary.count > 0)
    assert sum(given.values()) > 0
    assert [condition(times).removeprefix("times=") for times in (0, 1, 2, 3, 4, 7, 8)] == [
        *("0", "1", "2-3", "2-3", "4-7", "4-7", "8-15")
    ]


def test_what_is_not_there_is_a_reason(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of canaries alone, without baseline or counterpart, was shown as if it were a score."""
    refuses(lambda: few_shot(world.context(shots=[])), "few_shot.few_shot.1", "evaluate.shots")
    bare = World(replace(world.folders, mix=tmp_path), world.params, world.numerics)
    refuses(lambda: memorisation(bare.context()), "memorisation.memorisation.1")
    monkeypatch.setattr(memorisation_task, "times_given", lambda context, canaries: {one.id: 0 for one in canaries})
    refuses(lambda: memorisation(world.context()), "memorisation.memorisation.2")


# -- skipping ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def french(world: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = corpus(tmp_path_factory.mktemp("french") / "heldout", [document(f"{n}", FRENCH * 5) for n in range(3)])
    return World(replace(world.folders, heldout=folder), world.params, world.numerics)


@pytest.mark.parametrize("task", [minimal_pairs, pronoun_gap, sentence_pairs])
def test_english_tasks_do_not_apply_to_another_language(french: World, task: object) -> None:
    with refused("require_english", "English"):
        task(french.context())  # type: ignore[operator]

"""The curriculum's items: right answers, no problem in both splits, the same items for the same seed."""

import re

import pytest

from components.stages.evaluate.tasks.open_book import facts
from components.synthetic.curriculum import TASKS, Problem, items
from tests.errors import refused, refuses


def numbers_of(item: Problem) -> tuple[int, int]:
    """The two numbers that an arithmetic item adds."""
    left, right = re.match(r"(?:sum|steps): (\d+)\+(\d+)[=;]", item.prompt).groups()
    return int(left), int(right)


def pairs_of(text: str) -> list[tuple[str, str]]:
    """`a B, c D` as pairs."""
    words = text.replace(",", " ").split()
    return list(zip(words[::2], words[1::2], strict=True))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("split", ["train", "test"])
def test_same_arguments_same_items(task: str, split: str) -> None:
    assert items(task, 3, 40, split=split) == items(task, 3, 40, split=split)
    assert items(task, 3, 40, split=split)[:10] == items(task, 3, 10, split=split)
    assert items(task, 3, 40, split=split) != items(task, 4, 40, split=split)


@pytest.mark.parametrize("task", TASKS)
def test_texts_are_regular(task: str) -> None:
    """One ASCII line; a word's space is in the answer, never at the end of the prompt: both sides tokenize apart."""
    for item in items(task, 1, 300) + items(task, 1, 100, split="test"):
        assert re.fullmatch(r"[a-z]+:[ -~]+", item.text)
        assert item.answer.startswith(" ")
        assert not item.prompt.endswith(" ")
        assert "  " not in item.text
        assert item.answer.endswith(item.final)
        assert not item.choices or item.final in item.choices


@pytest.mark.parametrize("task", ["recall", "names"])
def test_recall_answers_are_in_the_prompt_at_the_stated_depth(task: str) -> None:
    for item in items(task, 1, 300) + items(task, 2, 50, split="test", pairs=8, depth=5):
        shown, asked = item.prompt.removeprefix("recall: ").split(" ? ")
        pairs = pairs_of(shown)
        assert len(pairs) == item.difficulty["pairs"]
        assert pairs[item.difficulty["depth"]] == (asked, item.answer.strip())
        assert set(pairs_of(item.rest)) == set(pairs)


def test_no_name_is_one_that_the_evaluation_asks_about() -> None:
    for item in items("names", 1, 500) + items("names", 2, 100, split="test"):
        names = [name for name, _ in pairs_of(item.prompt.removeprefix("recall: ").split(" ? ")[0])]
        assert {len(re.findall("[aeiou]", name.lower())) for name in names} <= {2, 4}
    asked = [fact.prompts["closed"].split()[1] for fact in facts("record", 1, 200)]
    assert {len(re.findall("[aeiou]", name.lower())) for name in asked} == {3}


def test_sums_are_right_and_so_is_every_step() -> None:
    for item in items("arithmetic", 1, 400) + items("arithmetic", 1, 50, digits=4, steps=1):
        a, b = numbers_of(item)
        assert int(item.final) == a + b
        steps = item.answer.removesuffix(f"={item.final}").split(";") if item.form == "steps" else []
        assert len(steps) == (item.difficulty["digits"] if item.form == "steps" else 0)
        for step in steps:
            left, right = step.split("=")
            assert sum(map(int, left.split("+"))) == int(right)


def test_label_answers_follow_from_the_shots() -> None:
    """A class seen among the shots has the letter the answer gives; choices are the item's two letters."""
    from components.synthetic.curriculum import CLASSES

    kind = {word: name for name, words in CLASSES.items() for word in words}
    for item in items("mapping", 1, 300) + items("mapping", 1, 60, split="test", shots=22):
        asked = item.prompt.split()[-1]
        shots = pairs_of(item.prompt.removeprefix("label:").removesuffix(asked))
        letter = {kind[word]: label for word, label in shots}
        assert letter.get(kind[asked], item.answer.strip()) == item.answer.strip()
        assert asked not in dict(shots)
        assert len(shots) == item.difficulty["shots"]


def test_no_prompt_of_a_test_item_begins_a_training_item() -> None:
    for task in TASKS:
        trained = {item.text for item in items(task, 1, 2000)}
        prompts = {item.prompt for item in items(task, 2, 300, split="test")}
        assert not [text for text in trained if any(text.startswith(prompt) for prompt in prompts)]


def test_letters_known_by_heart_from_training_answer_test_items_by_chance_alone() -> None:
    """A test word had its right letter in training as often as the wrong one: neither above chance nor below it."""
    had: dict[tuple[str, str], int] = {}
    for item in items("mapping", 1, 20_000):
        for word, letter in re.findall(r"(\w+) ([A-Z])", item.text):
            had[word, letter] = had.get((word, letter), 0) + 1
    right = []
    for item in items("mapping", 2, 2000, split="test"):
        word, (wrong,) = item.prompt.split(" ")[-1], set(item.choices) - {item.answer}
        counts = [had.get((word, letter.strip()), 0) for letter in (item.answer, wrong)]
        right.append(0.5 if counts[0] == counts[1] else float(counts[0] > counts[1]))
    assert abs(sum(right) / len(right) - 0.5) < 0.05  # 4.5 standard errors


def test_test_items_are_distinct_and_run_out_with_a_message() -> None:
    found = items("recall", 1, 400, split="test", pairs=4)
    assert len({(item.prompt, item.answer) for item in found}) == 400
    with refused("curriculum.items", "arithmetic", "{'digits': 1}", "90"):
        items("arithmetic", 1, 90, split="test", digits=1)


@pytest.mark.parametrize(
    ("task", "difficulty", "code", "facts"),
    [
        ("copying", {}, "stream", ["'copying'"]),
        ("copy", {"pairs": 3}, "_check.1", ["'pairs'"]),
        ("copy", {"length": 21}, "_check.2", ["length = 21", "2 to 20"]),
        ("recall", {"pairs": 3, "depth": 3}, "_check.3", ["depth = 3"]),
        ("recall", {"pairs": 20, "depth": 20}, "_check.2", ["depth = 20", "0 to 19"]),
        ("names", {"pairs": 21}, "_check.2", ["pairs = 21", "2 to 20"]),
        ("arithmetic", {"digits": 7}, "_check.2", ["digits = 7", "1 to 6"]),
        ("mapping", {"shots": 23, "split": "test"}, "_check.2", ["shots = 23", "0 to 22"]),
        ("mapping", {"shots": 11}, "_check.2", ["shots = 11", "0 to 10"]),
    ],
)
def test_bad_arguments_are_named(task: str, difficulty: dict, code: str, facts: list[str]) -> None:
    refuses(lambda: items(task, 1, 1, **difficulty), f"curriculum.{code}", *facts)

"""The registry: every rule on items made by hand, and what a rule that is added does to a table."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from components.counting import hidden, registry
from components.counting.in_context import right_share
from components.counting.labels import LabelledText
from components.counting.registry import RULES, key_of, posed
from components.synthetic.curriculum import is_right, items

SUMS = "\n".join(item.text for steps in (0, 1) for item in items("arithmetic", 1, 3000, digits=2, steps=steps))
LABELS = "\n".join(item.text for item in items("mapping", 1, 2000))


def seen(text: str, **more: Any) -> Any:
    return SimpleNamespace(text=text, **more)


def test_each_form_has_four_rules_or_more_and_no_name_twice() -> None:
    by_form: dict[str, list[str]] = {}
    for rule in RULES:
        by_form.setdefault(rule.form, []).append(rule.name)
    assert all(len(set(names)) == len(names) >= 4 - (form == "label") for form, names in by_form.items())  # and TF-IDF
    assert {key_of(rule.name) for rule in RULES} == set(registry.NAMES)


def test_what_is_asked_for_can_be_copied_or_counted() -> None:
    """The copy rule has recall whole, in either form; words alike have the mapping whole; blind rules are at chance."""
    recall = [(item.prompt, item.choices, item.final) for item in items("recall", 1, 40, split="test", pairs=8)]
    mapping = [(item.prompt, item.choices, item.final) for item in items("mapping", 1, 40, split="test", shots=8)]
    for asked, whole in ((recall, "copy rule"), (mapping, "words alike")):
        said = posed("choice", seen(LABELS), [(prompt, choices) for prompt, choices, _ in asked])
        right = {
            name: np.mean(
                [right_share(row, choices.index(final)) for row, (_, choices, final) in zip(rows, asked, strict=True)]
            )
            for name, rows in said.items()
        }
        assert right[whole] == 1.0
        assert all(right[name] < 0.75 for name in registry.BLIND & right.keys())


def test_a_tree_writes_its_steps_and_adds() -> None:
    asked = items("arithmetic", 1, 40, split="test", digits=2, steps=1)
    said = posed("written", seen(SUMS), [item.prompt for item in asked])
    right = {name: np.mean([is_right(text, item.final) for text, item in zip(texts, asked, strict=True)])
             for name, texts in said.items()}  # fmt: skip
    assert right["character tree"] > 0.7
    assert right["character tree"] > max(right[name] for name in right if name != "character tree")
    assert "=" in said["character tree"][0]
    assert {text.strip() for (text,) in posed("written", seen("nothing"), ["sum: 1+1="]).values()} == {""}


def test_hidden_tokens_of_a_text_that_says_everything_twice() -> None:
    draw = np.random.default_rng(1)
    windows = [np.tile(draw.integers(1, 40, 8), 4) for _ in range(120)]
    known = SimpleNamespace(windows=windows[1:], ids=np.concatenate(windows[1:]), vocab_size=40, context=32)
    hidden = np.arange(32) % 8 == np.arange(32) // 8
    said = posed("hidden", known, [(windows[0], hidden)])
    right = {name: float((guess == windows[0][hidden]).mean()) for name, (guess,) in said.items()}
    assert right["two-sided cache"] == 1.0
    assert right["commonest token"] < 0.5


def test_the_last_bits_of_features_change_no_weight() -> None:
    draw = np.random.default_rng(0)
    features = draw.normal(size=(1000, 50, 6)).astype(np.float32)
    truth = (features @ np.arange(6) + draw.gumbel(size=(1000, 50))).argmax(1)
    moved = np.nextafter(features, draw.choice([-np.inf, np.inf], features.shape).astype(np.float32))
    weights = hidden._fitted(features, truth)
    assert weights.tolist() == hidden._fitted(moved, truth).tolist()
    assert np.abs(weights - np.arange(6)).max() < 0.7


@pytest.mark.parametrize("several", [False, True])
def test_labels_are_learned_from_parts_of_texts(several: bool) -> None:
    texts = [f"{'stop' if number % 2 else 'pots'} Number {number}." for number in range(60)]
    has_NK = np.eye(2, dtype=bool)[np.arange(60) % 2]
    known = LabelledText(texts[:40], has_NK[:40], several, [*texts, "other text"])
    for name, rows in posed("label", known, texts[40:]).items():
        share = float((np.stack(rows) == has_NK[40:]).all(axis=1).mean())
        assert share >= 0.9 if name != "largest class" else share <= 0.5, (name, share)


def test_one_class_alone_is_said_of_all() -> None:
    known = LabelledText(["a b", "a c"], np.array([[False, True]] * 2))
    assert all(row[0].tolist() == [False, True] for row in posed("label", known, ["a"]).values())

"""TF-IDF beside the network: predictions of scikit-learn's, from the card's ten lines; which of both to use."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline

from components.instruction_pairs.examples import Examples, Passage
from components.stages.account import model_card
from components.stages.finetune import tfidf
from components.stages.finetune.classification_report import _confusion_plot
from components.stages.finetune.classify import indicators
from components.stages.finetune.tfidf import recommend
from tests.components.task_corpora import GERMAN

WORDS = [word for word in GERMAN.split() if word.isalpha()]
SINGLE, MULTI = "single_label_classification", "multi_label_classification"


def passages(count: int, classes: int, several: bool = False, seed: int = 1) -> list[Passage]:
    """Texts of common words with some that only a class, or each of several, has; one text in five is another's."""
    draw, made = random.Random(seed), []
    for number in range(count):
        labels = [one for one in range(classes) if draw.random() < 0.4] if several else [draw.randrange(classes)]
        own = [f"klasse{label if draw.random() < 0.8 else draw.randrange(classes)}" for label in labels]
        text = " ".join(draw.sample([*draw.choices(WORDS, k=12), *own], 12 + len(own)))
        made.append(Passage(text, tuple(labels) if several else labels[0], str(number)))
    return made


@pytest.mark.parametrize(("classes", "problem"), [(2, SINGLE), (4, SINGLE), (3, MULTI)])
@pytest.mark.parametrize("parts", [("words",), ("characters", "words")])
def test_ten_lines_of_the_card_predict_what_scikit_learn_does(
    classes: int, problem: Any, parts: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = passages(200, classes, problem == MULTI)
    train, tested = made[:150], [one.text for one in made[150:]] + ["", "?"]
    model = tfidf.train(train, classes, problem, tfidf.Settings(parts, 10.0))
    union = FeatureUnion([(name, TfidfVectorizer(**tfidf.PARTS[name])) for name in parts])
    regression: Any = LogisticRegression(C=10.0, max_iter=300)
    regression = OneVsRestClassifier(regression) if problem == MULTI else regression
    truth = indicators([one.label for one in train], classes).astype(int)
    peer = make_pipeline(union, regression)
    peer.fit([one.text for one in train], truth if problem == MULTI else truth.argmax(axis=1))
    expected = peer.predict(tested)
    predicted = model.predict(tested)
    assert (predicted == (expected if problem == MULTI else indicators(expected.tolist(), classes))).all()
    labels = [f"class {number}" for number in range(classes)]
    model.save(labels, tmp_path / "tfidf")
    model.save(labels, tmp_path / "again")
    for name in ("tfidf.json", "tfidf.safetensors"):
        assert (tmp_path / "tfidf" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    monkeypatch.chdir(tmp_path)
    loaded: dict[str, Any] = {}
    lines = model_card.TFIDF_LINES + (model_card.SEVERAL if problem == MULTI else model_card.ONE)
    assert len(lines.splitlines()) <= 10
    exec(lines.replace("{}", ""), loaded)
    named = [[label for label, one in zip(labels, row, strict=True) if one] for row in predicted]
    assert loaded["classify"](tested) == (named if problem == MULTI else [row[0] for row in named])


def test_characters_are_counted_where_words_tell_nothing() -> None:
    draw = random.Random(1)
    made = [Passage(" ".join(f"{draw.randrange(10**6)}{('ung', 'heit')[label]}" for _ in range(6)), label, str(number))
            for number, label in enumerate([0, 1] * 40)]  # fmt: skip
    settings, share = tfidf.choose(made, 2, SINGLE)
    assert settings.parts == ("characters", "words")
    assert share > 0.95
    assert tfidf.choose([*passages(150, 3), *passages(150, 3, seed=2)], 3, SINGLE)[1] > 0.6


def test_works_stay_whole_and_no_class_is_without_a_fold() -> None:
    shared = [Passage("a", number % 2, f"work {number // 4}") for number in range(80)]
    for held in tfidf.folds(shared):
        inside = {shared[place].cluster for place in held}
        assert not inside & {one.cluster for place, one in enumerate(shared) if place not in set(held.tolist())}
    alone = [Passage("a", number % 4, f"work {number % 4}") for number in range(20)]
    assert sorted(place for held in tfidf.folds(alone) for place in held) == list(range(20))
    rare = [Passage("a", number, str(number)) for number in range(7)]
    assert len(tfidf.folds(rare)) == 5


def by_order(train: list[Passage], tested: list[Passage], number: int) -> np.ndarray:
    """A network that has learned which of two words comes first."""
    return indicators([int(one.text.index("links") > one.text.index("rechts")) for one in tested], 2)


def untaught(train: list[Passage], tested: list[Passage], number: int) -> np.ndarray:
    """A network that few labels have taught nothing: the commonest class."""
    commonest = int(np.bincount([one.label for one in train]).argmax())
    return indicators([commonest] * len(tested), 4)


def test_what_is_recommended_is_what_is_right_on_rows_that_no_model_saw() -> None:
    few = Examples(passages(60, 4), [], list("abcd"))
    settings, _ = tfidf.choose(few.train, 4, SINGLE)
    found = recommend(few, settings, untaught)
    assert (found.use, found.of) == ("tfidf", 5)
    assert found.tfidf > found.network
    draw, ordered = random.Random(1), []
    for number in range(200):
        pair = ["links", "rechts"] if number % 2 else ["rechts", "links"]
        words = draw.choices(WORDS, k=9)
        ordered.append(Passage(" ".join([*words[:3], pair[0], *words[3:6], pair[1], *words[6:]]),
                               int(not number % 2), str(number)))  # fmt: skip
    examples = Examples(ordered, [], ["a", "b"])
    found = recommend(examples, tfidf.choose(ordered, 2, SINGLE)[0], by_order)
    assert (found.use, found.network) == ("network", 1.0)
    assert found.judged < 200, "it is clear before the last fold"
    tie = recommend(few, settings, lambda train, tested, number: tfidf.train(train, 4, SINGLE, settings).predict(
        [one.text for one in tested]))  # fmt: skip
    assert (tie.use, tie.judged, tie.folds) == ("tfidf", 60, 5)
    said = found.sentence(50, ".9 [.8, 1]", ".5 [.4, .6]")
    assert said.startswith("Use the network, not the TF-IDF model in `tfidf/`: on ")
    assert said.endswith("on 50 held-out rows, used for no choice, TF-IDF has .5 [.4, .6] and the network .9 [.8, 1].")


@pytest.mark.filterwarnings("error")
def test_a_class_whose_name_the_font_lacks_is_drawn_by_its_codes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was an empty box, and a warning of matplotlib for each."""
    drawn: list[Any] = []
    _confusion_plot(["où", "\u4e2d"], np.eye(2, dtype=int), np.ones(2), tmp_path / "confusion.png", "")
    assert (tmp_path / "confusion.png").exists()
    monkeypatch.setattr("components.stages.finetune.classification_report.save", lambda one, *_: drawn.append(one))
    _confusion_plot(["où", "\u4e2d"], np.eye(2, dtype=int), np.ones(2), tmp_path / "confusion.png", "")
    assert [text.get_text() for text in drawn[0].axes[0].get_yticklabels()] == ["où", "\\u4e2d"]

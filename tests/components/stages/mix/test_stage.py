"""The mixture: exact weights, generated text apart, augmented copies and their control, workers that change no byte."""

import csv
import random
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from components.core.files import read_json
from components.core.report import Report
from components.corpus.corpus import Document, read_corpus, read_manifest
from components.params import Bias, Canaries, Curriculum, Mix
from components.stages.bias.stage import judge
from components.stages.mix.group_weights import document_mentions, weight_of
from components.stages.mix.stage import mix
from components.synthetic import canaries, counterfactual
from components.synthetic.curriculum import items
from components.text.identity_terms import GROUPS
from tests.components.real_text import corpus, document, modules, places, tree
from tests.errors import refused

PLAIN = Mix(curriculum=Curriculum(share=0), canaries=Canaries(per_count=0))
TASKS = ("copy", "recall", "mapping", "arithmetic")
PEOPLE = ("he saw her father", "the king gave his queen a book", "she knew him well", "nothing of the kind is said")


def documents() -> list[Document]:
    """Real docstrings as two sources, and a source of letters in which gendered words are frequent."""
    found = [*modules("scipy", 90), *(replace(each, source="numpy") for each in modules("numpy", 60))]
    draw = random.Random(1)
    for number in range(80):
        text = ". ".join(draw.choice(PEOPLE) for _ in range(draw.randint(1, 40)))
        found.append(document(f"letter-{number}", text, "letters"))
    return found


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus(tmp_path_factory.mktemp("in") / "train", documents())


def run(train: Path, folder: Path, params: Mix, workers: int = 1) -> Report:
    return mix(train=train, params=params, workers=workers, **places(folder))


def sizes(folder: Path) -> Counter[str]:
    """Bytes per source, counted from the texts."""
    found: Counter[str] = Counter()
    for each in read_corpus(folder):
        found[each.source] += len(each.text.encode())
    return found


@pytest.mark.parametrize("weight", [0.0, 0.25, 1.0, 2.3])
def test_weights_are_honoured_to_the_nearest_document(train: Path, tmp_path: Path, weight: float) -> None:
    run(train, tmp_path, PLAIN.model_copy(update={"weights": {"docs": weight}}))
    before, after = sizes(train), sizes(tmp_path / "out" / "train")
    largest = max(len(each.text.encode()) for each in read_corpus(train))
    assert abs(after["docs"] - weight * before["docs"]) <= largest / 2
    assert {name: after[name] for name in ("numpy", "letters")} == {name: before[name] for name in ("numpy", "letters")}
    copies = Counter(each.text for each in read_corpus(tmp_path / "out" / "train") if each.source == "docs")
    assert set(copies.values()) <= {int(weight), int(weight) + 1}


def test_more_weight_only_adds_documents_and_what_is_left_out_is_kept(train: Path, tmp_path: Path) -> None:
    taken: list[set[str]] = []
    for weight in (0.2, 0.5, 0.9):
        place = tmp_path / str(weight)
        report = run(train, place, PLAIN.model_copy(update={"weights": {"docs": weight}}))
        taken.append({each.id for each in read_corpus(place / "out" / "train") if each.source == "docs"})
        left = read_manifest(place / "out" / "dropped")
        assert left.facts["rules"] == {"weight": left.num_documents}
        assert report.metrics["documents_dropped"] == left.num_documents > 0
        assert report.metrics["documents_in"] == report.metrics["documents_out"] + left.num_documents
    assert taken[0] < taken[1] < taken[2]


def test_ids_stay_unique_and_texts_whole(train: Path, tmp_path: Path) -> None:
    run(train, tmp_path, Mix(weights={"docs": 2.5}, augment="counterfactual"))
    found = list(read_corpus(tmp_path / "out" / "train"))
    assert len({each.id for each in found}) == len(found)
    real, sources = {each.text for each in read_corpus(train)}, ("docs", "numpy", "letters")
    assert all(each.text in real for each in found if each.source in sources and not each.transforms)


def test_curriculum_share_is_of_all_bytes_even_over_tasks_and_without_a_test_item(train: Path, tmp_path: Path) -> None:
    report = run(train, tmp_path, Mix(curriculum=Curriculum(share=0.3)))
    files = set(tree(tmp_path / "reports"))
    assert files >= {"metrics.json", "details/sources.csv", "details/curriculum_examples.txt", "plots/mixture.png"}
    after = sizes(tmp_path / "out" / "train")
    taught = {name: size for name, size in after.items() if name.startswith("curriculum/")}
    assert set(taught) == {f"curriculum/{task}" for task in TASKS}
    assert sum(taught.values()) / sum(after.values()) == pytest.approx(0.3, abs=0.002)
    assert max(taught.values()) - min(taught.values()) < 1000
    assert report.metrics["bytes_curriculum"] == sum(taught.values())
    assert sum(after.values()) == report.metrics["bytes_out"]
    lines = {line for each in read_corpus(tmp_path / "out" / "train") for line in each.text.split("\n")}
    for task in TASKS:
        assert items(task, 1, 5)[0].text in lines
        assert not {item.text for item in items(task, 9, 300, split="test")} & lines


def test_canaries_are_there_as_often_as_stated_and_controls_never(train: Path, tmp_path: Path) -> None:
    run(train, tmp_path, Mix(canaries=Canaries(per_count=5, counts=[1, 3, 9])))
    listed = canaries.from_json(read_json(tmp_path / "out" / "canaries.json"))
    texts = Counter(each.text for each in read_corpus(tmp_path / "out" / "train"))
    everything = "".join(texts)
    assert Counter(canary.count for canary in listed) == {0: 5, 1: 5, 3: 5, 9: 5}
    for canary in listed:
        assert texts[canary.text] == canary.count
        assert canary.count or canary.prefix not in everything
    assert all(each.source == "canary" for each in read_corpus(tmp_path / "out" / "train") if "door code" in each.text)


def test_counterfactual_copies(train: Path, tmp_path: Path) -> None:
    report = run(train, tmp_path, PLAIN.model_copy(update={"augment": "counterfactual"}))
    found = list(read_corpus(tmp_path / "out" / "train"))
    copies = {each.id.removesuffix("-t1"): each for each in found if each.transforms}
    for each in read_corpus(train):
        swapped = counterfactual.swap(each.text)
        assert (each.id in copies) == (swapped != each.text)
        if each.id in copies:
            assert copies[each.id] == replace(each, id=f"{each.id}-t1", text=swapped, transforms=("gender_swap_v1",))
    assert report.metrics["bytes_augmented"] == sum(len(each.text.encode()) for each in copies.values()) > 10_000


def test_random_augmentation_is_a_control_of_equal_size(train: Path, tmp_path: Path) -> None:
    """Per source as many bytes as the swapped copies have, to the nearest document; no text that was not there."""
    for kind in ("counterfactual", "random"):
        run(train, tmp_path / kind, PLAIN.model_copy(update={"augment": kind, "weights": {"letters": 2.0}}))
    swapped, control = (sizes(tmp_path / kind / "out" / "train") for kind in ("counterfactual", "random"))
    largest = max(len(each.text.encode()) for each in read_corpus(train))
    assert all(abs(swapped[name] - control[name]) <= largest / 2 + 1 for name in swapped)
    before, after = ({each.text for each in read_corpus(of)} for of in (train, tmp_path / "random" / "out" / "train"))
    assert after == before


@pytest.mark.slow
def test_workers_and_repetition_change_no_byte(train: Path, tmp_path: Path) -> None:
    params = Mix(weights={"docs": 0.7}, group_weights={"women": 1.5}, augment="counterfactual")
    for name, workers in (("a", 1), ("b", 2), ("c", 1)):
        run(train, tmp_path / name, params, workers)
    assert tree(tmp_path / "a") == tree(tmp_path / "b") == tree(tmp_path / "c")
    assert str(tmp_path).encode() not in b"".join(tree(tmp_path / "a").values())


def test_seed_changes_order_and_sample_but_no_share(train: Path, tmp_path: Path) -> None:
    for seed in (1, 2):
        run(train, tmp_path / str(seed), PLAIN.model_copy(update={"seed": seed}))
    one, two = ([each.id for each in read_corpus(tmp_path / str(seed) / "out" / "train")] for seed in (1, 2))
    assert one != two
    assert sorted(one) == sorted(two) == sorted(each.id for each in read_corpus(train))


def test_bad_weights_are_refused(train: Path, tmp_path: Path) -> None:
    with refused("check_weights", "mix.weights.doc", "docs, letters, numpy"):
        run(train, tmp_path / "a", PLAIN.model_copy(update={"weights": {"doc": 2.0}}))

    with refused("make_plan", "mix.weights"):
        run(train, tmp_path / "b", PLAIN.model_copy(update={"weights": {"docs": 0, "letters": 0, "numpy": 0}}))


# -- weights by group --------------------------------------------------------------------------------------------------

GROUP_WEIGHTS = {"women": 2.5, "men": 0.5, "muslim": 4.0}


def by_hand(letter: Document) -> float:
    """What GROUP_WEIGHTS makes of a letter: its phrases about people all have a woman, and most of its words a man."""
    return 2.5 if any(word in letter.text for word in ("her", "queen", "she")) else 1.0


def test_group_weights_are_honoured_to_the_nearest_document_in_each_part(train: Path, tmp_path: Path) -> None:
    params = PLAIN.model_copy(update={"group_weights": GROUP_WEIGHTS, "weights": {"letters": 2.0}})
    report = run(train, tmp_path, params)
    before = list(read_corpus(train))
    weights = {each.id: weight_of(document_mentions(each.text), GROUP_WEIGHTS) for each in before}
    assert all(weights[each.id] == by_hand(each) for each in before if each.source == "letters")
    assert set(weights.values()) == {0.5, 1.0, 2.5}
    after = Counter(re.sub(r"-\d+$", "", each.id) for each in read_corpus(tmp_path / "out" / "train"))
    for source, times in (("letters", 2.0), ("docs", 1.0), ("numpy", 1.0)):
        for weight in set(weights.values()):
            part = [each for each in before if each.source == source and weights[each.id] == weight]
            size = {each.id: len(each.text.encode()) for each in part}
            taken = sum(size[name] * after[name] for name in size)
            assert abs(taken - weight * times * sum(size.values())) <= max(size.values(), default=0) / 2
    assert report.facts["warnings"] == ["mix: mix.group_weights.muslim does nothing: no document mentions muslim"]
    assert "| women | 2.5 |" in report.markdown
    assert "| muslim | 4 | 0 | 0 | 0 | 0 | mentioned nowhere |" in report.markdown


def test_the_books_of_groups_are_those_of_the_texts(train: Path, tmp_path: Path) -> None:
    run(train, tmp_path, PLAIN.model_copy(update={"group_weights": GROUP_WEIGHTS}))
    table = csv.DictReader((tmp_path / "reports" / "details" / "groups.csv").read_text().splitlines())
    row = next(row for row in table if (row["source"], row["group"]) == ("letters", "women"))
    for folder, suffix in ((train, "_in"), (tmp_path / "out" / "train", "")):
        texts = [each.text for each in read_corpus(folder) if each.source == "letters"]
        women = [len(text.encode()) for text in texts if document_mentions(text) & 1 << GROUPS.index("women")]
        assert (int(row[f"documents{suffix}"]), int(row[f"bytes{suffix}"])) == (len(women), sum(women))


def test_groups_are_those_the_bias_stage_counts(train: Path) -> None:
    apart = document("apart", "A Muslim teacher. The shutters were black\n\npeople of the sea", "letters")
    found = [apart, *list(read_corpus(train))[::5]]
    groups = [each.groups for each in judge(found, Bias()).documents]
    assert groups == [document_mentions(each.text) for each in found]
    assert groups[0] == 1 << GROUPS.index("muslim"), "black people are in no sentence"
    assert len(set(groups)) > 2


def test_a_group_of_weight_0_is_left_out_with_the_reason(train: Path, tmp_path: Path) -> None:
    run(train, tmp_path, PLAIN.model_copy(update={"group_weights": {"women": 0.0}}))
    women = 1 << GROUPS.index("women")
    assert all(document_mentions(each.text) & women for each in read_corpus(tmp_path / "out" / "dropped"))
    assert not any(document_mentions(each.text) & women for each in read_corpus(tmp_path / "out" / "train"))
    reasons = pq.read_table(tmp_path / "out" / "dropped" / "part-00000.parquet")["reason"].to_pylist()
    assert "mix.weights.letters = 1.0 and mix.group_weights.women = 0.0 leaves it out" in reasons


def test_a_weight_of_1_changes_no_byte(train: Path, tmp_path: Path) -> None:
    for name, weights in (("none", {}), ("one", {"women": 1.0})):
        run(train, tmp_path / name, PLAIN.model_copy(update={"group_weights": weights}))
    assert tree(tmp_path / "none" / "out") == tree(tmp_path / "one" / "out")

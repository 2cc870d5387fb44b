"""Dedup's guarantees, recomputed from the texts by plain Python."""

import random
import re
import shutil
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from components.corpus.corpus import Document, read_corpus, read_manifest
from components.params import Dedup
from components.similarity import duplicates, sorted_rows
from components.stages.dedup.stage import dedup
from tests.components.plain_words import runs
from tests.components.real_text import corpus, document, edited, modules, places, tree
from tests.errors import refuses

PARAMS = Dedup()


@cache
def plain_grams(text: str, n: int) -> frozenset[tuple[str, ...]]:
    """The set of word n-grams; of a text of fewer words the one tuple of all."""
    words = runs(text.lower())
    return frozenset(tuple(words[at : at + n]) for at in range(max(len(words) - n + 1, 1)) if words)


def plain_jaccard(first: str, second: str, n: int = 5) -> float:
    """Word n-gram Jaccard similarity, with sets of tuples."""
    sets = plain_grams(first, n), plain_grams(second, n)
    shared = len(sets[0] & sets[1])
    union = len(sets[0]) + len(sets[1]) - shared
    return shared / union if union else 1.0


def planted() -> tuple[list[Document], list[Document]]:
    """(held-out, training) documents: real ones, copies edited at many rates, a chain, copies of held-out ones."""
    real = list(modules())
    heldout, train = real[:15], real[15:]
    copies = []
    for number, original in enumerate(real[::2]):
        rate = (0.0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1)[number % 7]
        text = edited(original.text, rate, number)
        copies.append(document(f"copy/{number}", text.replace("\n", "\n ") if rate == 0 else text))
    text = real[40].text
    for link in range(8):  # a chain: each is like the one before, the last is unlike the first
        text = edited(text, 0.02, 1000 + link)
        copies.append(document(f"chain/{link}", text))
    mixed = [*train, *copies]
    random.Random(3).shuffle(mixed)
    return heldout, mixed


def run(folder: Path, heldout: list[Document], train: list[Document], params: Dedup = PARAMS, workers: int = 1) -> Path:
    """Dedup into `folder`/out."""
    held = corpus(folder / "heldout", heldout)
    trained = corpus(folder / "train", train)
    dedup(train=trained, heldout=held, params=params, workers=workers, **places(folder))
    return folder / "out"


def dropped(out: Path) -> list[dict]:
    """Rows of the dropped corpus."""
    return [row for shard in sorted((out / "dropped").glob("*.parquet")) for row in pq.read_table(shard).to_pylist()]


def named(row: dict) -> str:
    """Id of the document that a dropped one went for."""
    return re.findall(r"(?:kept|held-out) ([0-9a-f]{16})", row["reason"])[0]


def stated_jaccard(row: dict) -> float:
    """Similarity that a reason states."""
    return float(re.findall(r"Jaccard ([\d.]+)", row["reason"])[0])


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Document], list[Document]]:
    """The planted corpus, deduplicated with one worker."""
    folder = tmp_path_factory.mktemp("dedup")
    heldout, train = planted()
    run(folder, heldout, train)
    return folder, heldout, train


def near_copies(low: float, high: float) -> list[tuple[Document, Document, float]]:
    """(original, edited copy, similarity) of the modules whose copy has a similarity in [low, high)."""
    found = []
    for number, original in enumerate(modules()):
        copy = document(f"near/{number}", edited(original.text, 0.01 + 0.04 * number / len(modules()), 2000 + number))
        if low <= (similarity := plain_jaccard(original.text, copy.text)) < high:
            found.append((original, copy, similarity))
    return found


@pytest.mark.parametrize(("bands", "rows"), [(32, 4), (14, 8)])
def test_planted_near_copies_are_found_as_often_as_the_bands_promise(tmp_path: Path, bands: int, rows: int) -> None:
    """Just above the threshold, 1 - (1 - J^rows)^bands: all by the default, some three of four by the usual 14 x 8."""
    pairs = near_copies(PARAMS.threshold, 0.8)
    assert len(pairs) > 40
    train = [each for original, copy, _ in pairs for each in (original, copy)]
    out = run(tmp_path, [], train, PARAMS.model_copy(update={"bands": bands, "rows": rows}))
    gone = {row["id"] for row in dropped(out)}
    found = sum(bool(gone & {original.id, copy.id}) for original, copy, _ in pairs)
    chances = np.array([1 - (1 - similarity**rows) ** bands for _, _, similarity in pairs])
    assert abs(found - chances.sum()) <= 3 * np.sqrt((chances * (1 - chances)).sum()) + 0.05
    assert (found == len(pairs)) == ((bands, rows) == (PARAMS.bands, PARAMS.rows))


def test_every_removed_document_is_similar_to_one_that_stays(done: tuple) -> None:
    folder, heldout, _ = done
    stays = {each.id: each.text for each in [*heldout, *read_corpus(folder / "out/train")]}
    gone = dropped(folder / "out")
    assert len(gone) > 50
    for row in gone:
        name, text = named(row), stays[named(row)]
        similarity = plain_jaccard(row["text"], text)
        assert similarity >= PARAMS.threshold
        assert similarity == pytest.approx(stated_jaccard(row), abs=1e-4)
        assert ("heldout" in row["rule"]) == (name in {each.id for each in heldout})
        assert row["rule"].endswith("near_duplicate") == (row["text"].split() != text.split())


def test_no_two_documents_that_stay_are_similar(done: tuple) -> None:
    folder, heldout, _ = done
    kept = list(read_corpus(folder / "out/train"))
    similar = []
    for first, second in [*combinations(kept, 2), *((a, b) for a in kept for b in heldout)]:
        short, long = sorted((len(first.text), len(second.text)))
        if short >= 0.5 * long and plain_jaccard(first.text, second.text) >= PARAMS.threshold:
            similar.append((first.location, second.location))
    assert similar == []


def test_books_balance_and_the_longer_then_the_smaller_id_stays(done: tuple) -> None:
    folder, _, train = done
    kept, gone = read_manifest(folder / "out/train"), read_manifest(folder / "out/dropped")
    assert kept.num_documents + gone.num_documents == len(train)
    assert sum(gone.facts["rules"].values()) == gone.num_documents
    assert kept.num_bytes + gone.num_bytes == sum(len(each.text.encode()) for each in train)
    by_id = {each.id: each for each in train}
    stays = {each.id: each for each in read_corpus(folder / "out/train")}
    assert all(by_id[name] == each for name, each in stays.items())
    for row in dropped(folder / "out"):
        if other := stays.get(named(row)):  # else a held-out one
            assert (-len(other.text), other.id) < (-len(row["text"]), row["id"])


def test_order_workers_and_sorting_on_disk_do_not_matter(
    done: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, heldout, train = done
    monkeypatch.setattr(sorted_rows, "RUN_BYTES", 1000)
    run(tmp_path / "two", heldout, train, workers=2)
    assert tree(tmp_path / "two/out") == tree(folder / "out")
    assert tree(tmp_path / "two/reports") == tree(folder / "reports")
    shuffled = random.Random(9).sample(train, len(train))
    run(tmp_path / "shuffled", heldout[::-1], shuffled)
    one, other = (
        {row["id"]: (row["rule"], row["reason"]) for row in dropped(place / "out")}
        for place in (folder, tmp_path / "shuffled")
    )
    assert one == other


def test_resumes_from_sketches(done: tuple, tmp_path: Path) -> None:
    folder, heldout, train = done
    run(tmp_path, heldout, train)
    sketches = tree(tmp_path / "work")
    for name in sorted(sketches)[::2]:  # as after a kill: some are missing, the finished parts were moved
        (tmp_path / "work" / name).unlink()
    for name in ("out", "reports", "heldout", "train"):
        shutil.rmtree(tmp_path / name)
    run(tmp_path, heldout, train)
    assert tree(tmp_path / "out") == tree(folder / "out")


def test_short_and_wordless_documents(tmp_path: Path) -> None:
    texts = ["one two three", "one two four", "one two three!", "one two three four five six", "...", "---", " ... "]
    train = [document(f"short/{number}", text) for number, text in enumerate(texts)]
    out = run(tmp_path, [document("held", "something else entirely, and longer than the rest of them")], train)
    gone = {row["text"]: row["rule"] for row in dropped(out)}
    assert gone == {"one two three": "near_duplicate", "...": "duplicate"}


def test_scripts_without_spaces(tmp_path: Path) -> None:
    han = "大規模な言語モデルを学習させるには、大量の文章を集め、重複を取り除き、品質の低いものを捨てる必要がある。" * 3
    near = han.replace("品質", "性質", 1)
    other = "春はあけぼの。やうやう白くなりゆく山ぎは、少し明かりて、紫だちたる雲の細くたなびきたる。" * 3
    thai = "การเรียนรู้ของเครื่องเป็นสาขาหนึ่งของปัญญาประดิษฐ์ที่พัฒนามาจากการศึกษาการรู้จำแบบ" * 2
    texts = [han, near, other, thai, thai.replace("สาขา", "แขนง", 1)]
    out = run(tmp_path, [], [document(f"unspaced/{number}", text) for number, text in enumerate(texts)])
    gone = dropped(out)
    assert len(gone) == 2
    stays = {each.id: each.text for each in read_corpus(out / "train")}
    assert all(plain_jaccard(row["text"], stays[named(row)]) >= PARAMS.threshold for row in gone)


def test_held_out_copies_of_each_other_stay_and_take_training_copies_along(tmp_path: Path) -> None:
    text = modules()[3].text
    held = [document("held/0", text), document("held/1", text), document("held/2", text + " and")]
    out = run(tmp_path, held, [document("train/0", text), document("train/1", text + " more"), modules()[7]])
    assert [row["rule"] for row in dropped(out)] == ["heldout_duplicate", "heldout_near_duplicate"]
    assert [each.location for each in read_corpus(out / "train")] == [modules()[7].location]


def test_near_off_leaves_near_duplicates(tmp_path: Path) -> None:
    text = modules()[3].text
    train = [document("a", text), document("b", text + " more"), document("c", " " + text)]
    out = run(tmp_path, [], train, Dedup(near=False))
    assert [row["rule"] for row in dropped(out)] == ["duplicate"]


def test_empty_corpus_is_refused(tmp_path: Path) -> None:
    refuses(lambda: run(tmp_path, [modules()[0]], []), "DocumentIndex.open")


def test_pairs_of_a_big_bucket_come_in_pieces_and_are_all_there(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = np.sort(np.random.default_rng(1).integers(0, 9, 200))
    ranks = np.arange(200)
    monkeypatch.setattr(duplicates, "PAIRS_HELD", 100)
    pieces = list(duplicates._all_pairs(ranks, keys, window=7))
    assert max(map(len, pieces)) < 100 + 200
    expected = {(a, b) for a in range(200) for b in range(a + 1, min(a + 8, 200)) if keys[a] == keys[b]}
    found = [tuple(pair) for piece in pieces for pair in piece.tolist()]
    assert len(found) == len(expected)
    assert set(found) == expected

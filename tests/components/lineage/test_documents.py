"""A text is followed through every stage that ran, found by passage, id, hash and place; near misses are named."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from components.corpus.corpus import CorpusWriter, Document
from components.lineage.documents import Query, View, near, query_of, span_of, text_at, trace
from components.params import Canaries, Curriculum, Dedup, Mix
from components.stages.dedup.stage import dedup
from components.stages.mix.stage import mix
from components.text.passage_match import words
from flows.tracking.search import rows_of
from tests.components.real_text import corpus, modules


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline of ingest (made here), dedup and mix (the real ones); one document is a copy, one is dropped early."""
    root = tmp_path_factory.mktemp("house")
    documents = list(modules("scipy", 60))
    ingest, out = root / "data/ingest", root / "data"
    train = [*documents[:50], replace(documents[3], id="c0ffee0123456789", location="copy of/a file, it.py#2")]
    corpus(ingest / "train", train)
    corpus(ingest / "heldout", documents[50:58])
    for part, rows in (("dropped", documents[58:59]), ("quarantine", documents[59:])):
        with CorpusWriter(ingest / part, dropped=True) as writer:
            for each in rows:
                writer.add(each, "too_short", "by way of example")
    folders = {"reports": root / "reports", "work": root / "work"}
    (root / "work").mkdir()
    dedup(train=ingest / "train", heldout=ingest / "heldout", params=Dedup(), out=out / "dedup", **folders)
    settings = Mix(
        weights={"docs": 2}, curriculum=Curriculum(share=0.1), canaries=Canaries(per_count=1, counts=[3]), seed=1
    )
    mix(train=out / "dedup/train", params=settings, out=out / "mix", **folders)
    return root


def view_of(root: Path) -> View:
    return lambda path: root / path if (root / path).exists() else None


@pytest.fixture
def view(root: Path) -> View:
    return view_of(root)


def passage_of(document: Document) -> str:
    """Twelve words of the middle of a text, spelt in another way."""
    found = document.text.split()
    middle = found[len(found) // 2 : len(found) // 2 + 12]
    return "\n".join(middle).upper()


def fates(view: View, query: str) -> dict[str, set[tuple[str, str, str]]]:
    """Id -> stage, part and rule of each place."""
    return {
        each.facts["id"]: {(location.stage, location.part, location.rule) for location in each.locations}
        for each in trace(query_of(query, view), view)
    }


def test_a_passage_is_followed_to_its_end(root: Path, view: View) -> None:
    kept, doubled = modules("scipy", 60)[10], modules("scipy", 60)[3]
    assert fates(view, passage_of(kept))[kept.id] == {
        ("ingest", "train", ""),
        ("dedup", "train", ""),
        ("mix", "train", ""),
    }
    found = fates(view, passage_of(doubled))
    assert {doubled.id, "c0ffee0123456789"} <= set(found)
    gone = [rule for fate in found.values() for _, part, rule in fate if part == "dropped"]
    assert gone == ["duplicate"]


def test_places_are_where_the_text_is(root: Path, view: View) -> None:
    wanted = modules("scipy", 60)[20]
    (found,) = trace(Query("id", wanted.id), view)
    assert len(found.locations) == 4  # ingest, dedup, and two copies in the mixture
    assert [location.id for location in found.trained] in ([wanted.id, f"{wanted.id}-2"], [f"{wanted.id}-2", wanted.id])
    assert all(text_at(location, view) == wanted.text for location in found.locations)


def test_texts_with_the_same_id_are_told_apart(tmp_path: Path) -> None:
    """A text that was in quarantine alone was said to be in the place of the text that has its id."""
    first, second, *_ = modules("scipy", 60)
    second = replace(second, id=first.id)
    for stage in ("ingest", "dedup", "mix"):
        corpus(tmp_path / "data" / stage / "train", [first])
    with CorpusWriter(tmp_path / "data/ingest/quarantine", dropped=True) as writer:
        writer.add(second, "duplicate_id", "another record has the id")
        writer.add(first, "duplicate_id", "the same record twice")
    view = view_of(tmp_path)
    (found,) = trace(query_of(passage_of(second), view), view)
    assert [(place.stage, place.part, place.row) for place in found.locations] == [("ingest", "quarantine", 0)]
    assert found.name == f"{first.id} {second.sha256}"
    (kept,) = trace(query_of(passage_of(first), view), view)
    places = [("ingest", "train"), ("ingest", "quarantine"), ("dedup", "train"), ("mix", "train")]
    assert [(place.stage, place.part) for place in kept.locations] == places
    assert len(trace(Query("id", first.id), view)) == 2
    mixture, quarantine = (tmp_path / f"data/{part}/part-00000.parquet" for part in ("mix/train", "ingest/quarantine"))
    assert rows_of(mixture, "data/mix/train/part-00000.parquet", {found.name}) == []
    assert rows_of(mixture, "data/mix.parquet", {kept.name}) == [first.id]
    assert rows_of(quarantine, "data/ingest.parquet", {found.name}) == [first.id]


def test_the_other_kinds_of_query(root: Path, view: View) -> None:
    document = modules("scipy", 60)[30]
    for query in (document.id, f"{document.id}-2", document.sha256.upper(), document.location):
        assert set(fates(view, query)) == {document.id}, query
    assert set(fates(view, "copy of/a file, it.py")) == {"c0ffee0123456789"}  # all parts of a file
    assert query_of("copy of/a f", view) == Query("prefix", "copy of/a f")
    assert query_of("copy of/a file, it.py#2", view) == Query("location", "copy of/a file, it.py#2")
    for number, part in ((52, "heldout"), (58, "dropped"), (59, "quarantine")):
        is_left_out = modules("scipy", 60)[number]
        assert ("ingest", part) in {fate[:2] for fate in fates(view, is_left_out.id)[is_left_out.id]}


def test_a_name_with_a_line_break_is_found_as_it_is_and_as_it_is_written(tmp_path: Path) -> None:
    document = replace(modules("scipy", 60)[0], location=r"name\nwith newline.txt#2")
    corpus(tmp_path / "data/ingest/train", [document])
    view = view_of(tmp_path)
    for name in ("name\nwith newline.txt", r"name\nwith newline.txt"):
        assert query_of(name, view) == Query("location", r"name\nwith newline.txt")
    assert query_of("name\nwith", view) == Query("prefix", r"name\nwith")


def test_near_misses_are_named(root: Path, view: View) -> None:
    document = modules("scipy", 60)[10]
    altered = passage_of(document).split()
    altered[2] = "something else"
    text = " ".join(altered)
    assert trace(query_of(text, view), view) == []
    nearest = near(text, view)[0]
    assert nearest.facts["id"] == document.id
    assert 0.2 <= nearest.share < 1
    assert near("words that were written by nobody anywhere at any time", view) == []


def test_of_a_near_miss_words_of_the_passage_are_counted(root: Path, view: View) -> None:
    """A document that says six of a passage's words many times does not have all of them."""
    runs = Counter(
        (document.id, " ".join(some[start : start + 6]))
        for document in modules("scipy", 60)
        for some in [words(document.text)]
        for start in range(len(some) - 5)
    )
    ((name, run), times), *_ = runs.most_common(1)
    assert times > 2
    shares = {one.facts["id"]: one.share for one in near(f"{run} quixotic zebra yonder purple harvest moon", view)}
    assert shares[name] == 0.5


def test_the_span_of_a_passage() -> None:
    text = "He said: 'What news\n  abroad?' And left."
    start, end = span_of("what NEWS abroad and", text) or (0, 0)
    assert text[start:end] == "What news\n  abroad?' And"
    assert span_of("news abroad he", text) is None

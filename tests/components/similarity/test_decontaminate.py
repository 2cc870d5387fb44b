"""Training text that holds evaluation items or much held-out text goes, by rule, and is reported; other text stays."""

import csv
import json
from collections import Counter
from pathlib import Path

import pytest

from components.core.report import Report
from components.corpus.corpus import read_corpus, read_manifest
from components.params import Decontaminate, Filter
from components.similarity.decontaminate import (
    BOILERPLATE,
    FEWEST_WORDS,
    ContaminationIndex,
    contamination_index,
)
from components.stages.filter.stage import filter_corpus
from components.synthetic.canaries import make
from tests.components.real_text import corpus, document, modules, places
from tests.errors import refused

ITEM = "the quick brown fox jumps over the lazy dog tonight"
LONG_ITEM = "in the beginning there was a very small model that nobody had trained on any text at all"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """60 documents of training text, of which 4 hold what they must not; 10 held out; two evaluation sets."""
    root = tmp_path_factory.mktemp("index")
    documents = list(modules("scipy", 70))
    held = documents[60:]
    half = held[0].text[: len(held[0].text) // 2]
    added = [
        document("half-held-out", documents[0].text[: len(half) // 2] + "\n" + half),
        document("tells-an-item", documents[1].text + "\n" + ITEM.upper() + "!\n" + documents[2].text),
        document("tells-part-of-a-long-item", documents[3].text + "\n" + LONG_ITEM.rsplit(" ", 3)[0]),
        document("one-word-off", documents[4].text + "\n" + ITEM.replace("lazy", "sleepy")),
    ]
    items = root / "eval_sets"
    (items / "pairs").mkdir(parents=True)
    rows = [{"sentence_good": ITEM, "nested": {"choices": ["no", LONG_ITEM]}}, {"sentence_good": "too short"}]
    (items / "pairs" / "one.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (items / "questions.txt").write_text(f"{documents[5].text.splitlines()[0]}\n" + "who wrote the seven words\n")
    (items / "README.md").write_text(documents[6].text)
    train = corpus(root / "train", [*documents[:60], *added])
    return {"train": train, "heldout": corpus(root / "heldout", held), "items": items}


def run(folders: dict[str, Path], out: Path, workers: int = 1, **settings: float) -> Report:
    params = Filter(rules="off", redact=[], decontaminate=Decontaminate(**settings))
    return filter_corpus(params=params, workers=workers, **folders, **places(out))


def test_documents_with_evaluation_text_are_dropped(folders: dict[str, Path], tmp_path: Path) -> None:
    report = run(folders, tmp_path)
    dropped_locations = {each.location for each in read_corpus(tmp_path / "out/dropped")}
    assert {"half-held-out", "tells-an-item", "tells-part-of-a-long-item"} <= dropped_locations
    assert "one-word-off" not in dropped_locations
    assert read_manifest(tmp_path / "out/dropped").facts["rules"] == {"contaminated": len(dropped_locations)}
    assert report.metrics["dropped/contaminated"] == len(dropped_locations)
    with (tmp_path / "reports/details/contamination.csv").open() as file:
        rows = list(csv.DictReader(file))
    by_place = {row["location"]: row["evaluation_set"] for row in rows if row["dropped"] == "1"}
    assert by_place["half-held-out"] == "held-out"
    assert by_place["tells-an-item"] == by_place["tells-part-of-a-long-item"] == "pairs/one.jsonl"
    assert set(by_place) == dropped_locations
    assert report.metrics["contact/documents"] == len({row["location"] for row in rows})
    assert "| pairs/one.jsonl | 2 | 2 |" in report.markdown


def test_every_drop_is_over_the_limit_recomputed_from_the_texts(folders: dict[str, Path], tmp_path: Path) -> None:
    """Plain Python sets of words agree with the arrays: of the runs of what stays, those that many training documents
    have left out, at most `max_share` are held-out text.
    """

    def runs(text: str) -> list[tuple[str, ...]]:
        words = "".join(character if (character.isalnum() and character.isascii()) or character > "\x7f" else " "
                        for character in text.lower().replace("\u2019", " ")).split()  # fmt: skip
        return list(zip(*(words[at:] for at in range(13)), strict=False))

    run(folders, tmp_path, max_share=0.2)
    index = {gram for each in read_corpus(folders["heldout"]) for gram in runs(each.text)}
    frequency = Counter(gram for each in read_corpus(folders["train"]) for gram in {*runs(each.text)} & index)
    index, shares = {gram for gram in index if frequency[gram] < BOILERPLATE}, {}
    for part in ("train", "dropped"):
        for each in read_corpus(tmp_path / "out" / part):
            grams = [gram for gram in runs(each.text) if frequency[gram] < BOILERPLATE]
            shares[each.location] = (part, sum(gram in index for gram in grams) / max(1, len(grams)))
    assert all(share <= 0.21 for part, share in shares.values() if part == "train")
    assert shares["half-held-out"][0] == "dropped"
    assert shares["half-held-out"][1] > 0.2
    kept_all = run(folders, tmp_path / "all", max_share=1.0)
    assert kept_all.metrics["contact/documents"] >= sum(share > 0 for _, share in shares.values()) - 2


def test_the_exam_is_read_from_a_folder(folders: dict[str, Path], tmp_path: Path) -> None:
    index = contamination_index(None, folders["items"], 13)
    assert index.names == ["held-out", "pairs/one.jsonl", "questions.txt", "canary"]
    assert min(index.by_length) >= FEWEST_WORDS  # not "no", "too short", "who wrote the seven words"
    index.save(tmp_path / "contamination.npz")
    again = ContaminationIndex.load(tmp_path / "contamination.npz")
    assert again.hits([ITEM, "nothing"]) == index.hits([ITEM, "nothing"])
    assert index.hits([f"so {ITEM}, he said"])[0][0].name == "pairs/one.jsonl"
    assert contamination_index(None, None, 13).hits(["any text"]) == [[]]
    short = corpus(tmp_path / "heldout", [document("short", "only five words are here"), document("none", "...")])
    assert contamination_index(short, None, 13).hits(["only five words are here", LONG_ITEM, ""]) == [[], [], []]
    with refused("contamination_index", "filter.decontaminate.items", tmp_path / "nosuch"):
        contamination_index(None, tmp_path / "nosuch", 13)


FOOTER = (
    "To leave this list write to the address in the header of any mail; its archive, its rules and how to ask well are "
    "on the page of the list, which everyone who writes here is asked to read before the first question. Be kind."
)
BODIES = ("The build fails on my machine since the last update of the compiler, see the log: {}.",
          "Thanks, {} works for me now. Could somebody put that into the manual, please?",
          "Has anyone measured how long {} takes with four workers instead of one?",
          "I would rather not change {} this late; the release is due on Friday.",
          "There is a patch for {} in the tracker, and it wants a review.",
          "On Monday we talked about {} and agreed to leave it as it is.")  # fmt: skip


def test_a_footer_that_many_mails_have_is_no_contamination(tmp_path: Path) -> None:
    """Boilerplate is named with its passage and counted; an item of an evaluation set drops a mail at any frequency."""
    mails = [document(f"mail/{at}", f"{text.format(f'part {at} of it')}\n\n{FOOTER}\n")
             for at, text in enumerate(BODIES * 3)]  # fmt: skip
    held = document("mail/held", f"{BODIES[0].format('a file that nobody has')}\n\n{FOOTER}\n")
    quoting = [document(f"mail/asks-{at}", f"{BODIES[at].format(ITEM)}\n{ITEM}\n\n{FOOTER}\n") for at in range(6)]
    copy = document("mail/copy", f"{held.text}\nSo do I.")
    train = corpus(tmp_path / "train", [*mails, *quoting, copy])
    (tmp_path / "items").mkdir()
    (tmp_path / "items/asked.txt").write_text(ITEM)
    given = {"train": train, "heldout": corpus(tmp_path / "heldout", [held]), "items": tmp_path / "items"}
    report = run(given, tmp_path)
    gone = {each.location for each in read_corpus(tmp_path / "out/dropped")}
    assert gone == {each.location for each in quoting} | {"mail/copy"}
    with (tmp_path / "reports/details/boilerplate.csv").open() as file:
        (row, *_) = csv.DictReader(file)
    assert row["passage"].endswith("before the first question. Be kind") or FOOTER.startswith(row["passage"])
    assert int(row["training_documents"]) == len(mails) + len(quoting) + 1
    runs = (len(FOOTER.split()) - 12) + (len(BODIES[0].split()) - 1 - 12)  # of the footer, and of a body before its {}
    assert report.metrics["contact/boilerplate_runs"] == runs
    assert f"{runs} held-out runs are in 5 training documents" in report.markdown


def test_items_and_canaries_drop_a_document_however_many_have_them(tmp_path: Path) -> None:
    (tmp_path / "items").mkdir()
    (tmp_path / "items" / "one.txt").write_text(ITEM)
    canary = make(seed=7, per_count=1, counts=[1])[0].text
    texts = [f"{BODIES[at % 6].format(at)} {(ITEM, canary, 'Bye.')[at % 3]}" for at in range(6 * BOILERPLATE)]
    folders = {"train": corpus(tmp_path / "train", [document(str(at), text) for at, text in enumerate(texts)])}
    run(folders | {"items": tmp_path / "items"}, tmp_path)
    dropped = {each.location for each in read_corpus(tmp_path / "out/dropped")}
    assert dropped == {str(at) for at in range(len(texts)) if at % 3 < 2}

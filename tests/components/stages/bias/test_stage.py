"""The bias stage: drops hostility, not mention; its audit sees a biased filter; same bytes whatever happens."""

import csv
import random
import shutil
from pathlib import Path
from weakref import ReferenceType, ref

import pytest

from components.core.progress import Progress
from components.core.report import Report
from components.corpus.corpus import Document, read_corpus, read_manifest
from components.params import Bias
from components.stages.bias.counts import BiasCounts, JudgedShard
from components.stages.bias.stage import filter_bias, judge, judge_corpus
from components.text.sentences import sentences_of
from tests.components.killed import killed_when
from tests.components.real_text import corpus, document, modules, places, tree
from tests.errors import refused

PARAMS = Bias(min_mentions=20, max_toxic_share=0.1, min_toxic_sentences=2)
KIND = ["She lives by the sea.", "We met the teacher at noon.", "They sold bread.", "The hall was full of music."]
GAY = ["My friend is gay.", "You are gay.", "They are gay.", "We are gay."]
RUDE = ["You are a stupid idiot!", "Shut up, you moron.", "What an ugly piece of trash.", "Go to hell, bastard."]
GERMAN = "Die Frau liest das Buch. Die Katze schläft auf dem Sofa. Die Kinder spielen draußen. Die Sonne scheint."


def letters() -> list[Document]:
    """Made-up letters: 60 kind ones, 60 that mention lgbt people kindly, 20 rude ones, some not in English."""
    draw = random.Random(1)
    found = []
    for number in range(140):
        kind, own = (KIND, GAY) if 60 <= number < 120 else (KIND, RUDE if number >= 120 else [])
        text = " ".join(draw.sample(kind, 4) + draw.sample(own, min(3, len(own))))
        found.append(document(f"letter-{number}", text, "letters"))
    found += [document(f"brief-{number}", GERMAN, "letters") for number in range(5)]
    return [*found, document("ja", "彼女は本を読む。彼は眠る。", "letters"), document("empty", "...", "letters")]


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus(tmp_path_factory.mktemp("in") / "train", [*letters(), *modules("scipy", 120)])


def run(train: Path, folder: Path, params: Bias = PARAMS, workers: int = 1) -> Report:
    return filter_bias(train=train, params=params, workers=workers, **places(folder))


def dropped(folder: Path) -> set[str]:
    return {each.location for each in read_corpus(folder / "out" / "dropped")}


def impact(folder: Path) -> dict[str, dict[str, str]]:
    """disparate_impact.csv by group."""
    with (folder / "reports" / "details" / "disparate_impact.csv").open() as file:
        return {row["group"]: row for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def done(train: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    """The stage with the settings that ship, but for its limits."""
    folder = tmp_path_factory.mktemp("bias")
    return folder, run(train, folder)


def test_drops_hostility_and_not_mention(done: tuple[Path, Report]) -> None:
    folder, report = done
    assert dropped(folder) == {f"letter-{number}" for number in range(120, 140)}
    assert read_manifest(folder / "out" / "dropped").facts["rules"] == {"toxic": 20}
    assert report.metrics["documents_kept"] == read_manifest(folder / "out" / "train").num_documents
    assert report.metrics["probe_gap"] <= 0.05
    kept = {each.location: each.text for each in read_corpus(folder / "out" / "train")}
    assert kept["ja"] == "彼女は本を読む。彼は眠る。"
    assert sum(name.startswith("brief") for name in kept) == 5


def test_where_nothing_is_removed_no_ratio_is_reported(train: Path, tmp_path: Path) -> None:
    report = run(train, tmp_path, PARAMS.model_copy(update={"max_toxic_share": 1.0}))
    assert report.metrics["documents_dropped"] == 0
    assert not any(row["removal_ratio"] for row in impact(tmp_path).values())
    assert "removal_ratio_max" not in report.metrics, "it said 1"


UNMASKED = PARAMS.model_copy(update={"mask_identity": False, "max_probe_gap": 1.0})


def test_the_audit_shows_what_an_unmasked_filter_does(train: Path, tmp_path: Path) -> None:
    """Without masking, the kind letters about lgbt people go: many times as often as others, and significantly."""
    report = run(train, tmp_path, UNMASKED.model_copy(update={"max_removal_ratio": 1000}))
    row = impact(tmp_path)["lgbt"]
    assert len(dropped(tmp_path)) > 60
    assert float(row["removal_ratio_low"]) > 2
    assert float(row["p_holm"]) < 0.001
    assert report.metrics["removal_ratio_max"] == pytest.approx(float(row["removal_ratio"]), rel=1e-5)
    with (tmp_path / "reports/details/disparate_impact_by_source.csv").open() as file:
        assert ("letters", "lgbt") in {(row["source"], row["group"]) for row in csv.DictReader(file)}


def test_a_filter_that_removes_a_group_stops_the_stage_and_leaves_the_report(train: Path, tmp_path: Path) -> None:
    with refused("check_ratios", "lgbt", "letters", "bias.max_removal_ratio = 2.0", "mask_identity") as error:
        run(train, tmp_path, UNMASKED)
    named = tmp_path / "reports" / "details" / "dropped_examples.csv"
    assert str(named) in str(error.value)
    assert "gay" in named.read_text()


def test_masked_and_unmasked_side_by_side(done: tuple[Path, Report]) -> None:
    """The report of the masked filter says what masking prevented."""
    folder, report = done
    row = impact(folder)["lgbt"]
    assert float(row["removal_ratio"]) <= 1
    assert float(row["removal_ratio_unmasked"]) > 2
    assert report.metrics["documents_dropped_unmasked"] > report.metrics["documents_dropped"]
    assert not [line for line in report.facts["warnings"] if "removed" in line]
    assert len(report.facts["warnings"]) == report.metrics["associations"], "what is said of whom is told too"
    names = set(tree(folder / "reports"))
    tables = {"mentions", "toxicity", "disparate_impact", "probe", "dropped_examples"}
    assert names >= {f"details/{name}.csv" for name in tables}
    assert names >= {f"plots/{name}.png" for name in ("removal_ratio", "mentions", "toxicity")}
    assert "What this cannot know" in report.markdown
    assert "stupid idiot" in (folder / "reports" / "details" / "dropped_examples.csv").read_text()


def test_a_scorer_with_a_gap_stops_the_stage(train: Path, tmp_path: Path) -> None:
    with refused("bias.stage.check_gap", "8% of", "lgbt", "0% about", "bias.max_probe_gap"):
        run(train, tmp_path, PARAMS.model_copy(update={"mask_identity": False}))
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.slow
def test_workers_and_a_kill_change_no_byte(
    train: Path, done: tuple[Path, Report], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL as soon as one shard is judged; the next run reads that and finishes, with two workers."""
    monkeypatch.setattr("components.stages.bias.stage.BYTES_PER_WORKER", 1000)
    places(tmp_path)
    killed_when(lambda: list((tmp_path / "work").glob("judged-*.json")), KILLED, train, tmp_path)
    assert list((tmp_path / "work").glob("judged-*.json"))
    for name in ("out", "reports"):  # the caller hands over empty staging folders
        shutil.rmtree(tmp_path / name)
    run(train, tmp_path, PARAMS, 2)
    for name in ("out", "reports"):
        assert (found := tree(tmp_path / name)) == tree(done[0] / name)
        assert str(done[0]).encode() not in b"".join(found.values())
    assert read_manifest(train).shards[3:], "the corpus has several shards"


KILLED = """
import sys
from pathlib import Path
from components.stages.bias.stage import filter_bias
from components.params import Bias
train, folder = map(Path, sys.argv[1:])
folders = {name: folder / name for name in ("out", "reports", "work")}
params = Bias(min_mentions=20, max_toxic_share=0.1, min_toxic_sentences=2)
filter_bias(train=train, params=params, **folders)
"""


def test_a_sentence_counts_once_per_document() -> None:
    """A speaker called BASTARD in a play, against as many different insults."""
    play = document("play", "BASTARD. I come from France. " + "\n\n".join(f"BASTARD.\n\n{kind}" for kind in KIND * 3))
    fight = document("fight", " ".join(RUDE + KIND))
    judged = judge([play, fight], PARAMS).documents
    assert (judged[0].toxic, judged[1].toxic) == (1, 4)
    few = judge([document("one", RUDE[0]), document("two", " ".join(RUDE[:2]))], PARAMS)
    assert [bool(each.worst) for each in few.documents] == [False, True]


def test_a_text_of_which_the_scorer_knows_less_than_half_is_kept_unjudged() -> None:
    """Two insults among twelve lines of Faust are not a sixth of the text: the scorer knows no other line of it."""
    faust = "Habe nun, ach! Philosophie, Juristerei und Medizin durchaus studiert, mit heissem Bemühn.\n"
    lines = [f"{number}: {faust}" for number in range(10)] + ["You are a stupid idiot.\n", "Shut up, you fool.\n"]
    english = [f"The letter of day {number} came by the evening train.\n" for number in range(10)]
    shard = judge([document("faust", "".join([*lines, "Die Frau und the woman.\n"]))], PARAMS)
    (foreign,) = shard.documents
    assert (foreign.groups, shard.sentences, shard.together) == (0, {}, {})
    (known,) = judge([document("known", "".join(english + lines[-2:]))], PARAMS).documents
    assert (foreign.scored, foreign.toxic, foreign.enough_scored, bool(foreign.worst)) == (3, 2, False, False)
    assert (known.scored, known.toxic, bool(known.worst)) == (12, 2, True)


MEDICAL = [
    "Infants suck at the nipple within the hour of birth.",
    "Turn the cock of the catheter before the bag is changed.",
    "The penis is examined for warts and for discharge.",
    "A stool with blood or mucus is sent to the laboratory.",
    "Itching of the anus at night suggests worms.",
]


def test_a_few_words_of_medicine_are_no_reason() -> None:
    """By default a document goes at 30% and five sentences; at a tenth and two, half of a medical handbook went."""
    page = " ".join([*MEDICAL, *(f"The nurse of ward {number} writes down what was given." for number in range(15))])
    fight = " ".join(f"{rude[:-1]}, number {number}!" for rude in RUDE for number in range(2))
    shard = judge([document("page", page), document("fight", fight + " ".join(KIND))], Bias())
    assert [bool(each.worst) for each in shard.documents] == [False, True]
    assert bool(judge([document("page", page)], PARAMS).documents[0].worst)


def test_mentions_count_in_english_sentences_only(tmp_path: Path) -> None:
    """German "man" is no man; a document surely in another language is not judged, and the report says of how many."""
    german = "Man kann hier nicht wissen, ob man gewinnt. Das weiß man nie so genau, wenn man es versucht."
    mixed = " ".join([f"The letter of day {number} came by the evening train." for number in range(12)])
    french = "Le man que vous lisez décrit la commande man et ses options. Tapez man man pour en savoir plus."
    documents = [document("mixed", f"{mixed} {german}"), document("de", german), document("fr", french)]
    judged = judge(documents, PARAMS).documents
    assert [each.groups for each in judged] == [0, 0, 0]
    assert [each.enough_scored for each in judged] == [True, False, False]
    report = run(corpus(tmp_path / "train", documents), tmp_path)
    assert report.markdown.count("Not judged: language: 2 of 3 documents.") == 3
    with (tmp_path / "reports/details/mentions.csv").open() as file:
        assert {row["not_judged_language"] for row in csv.DictReader(file)} == {"2"}


def test_sentences() -> None:
    parts = ['He said "No', "Then\nleft", "Yes", "A title", "終わり", "次"]
    assert sentences_of('He said "No." Then\nleft?  Yes!\n\nA title\n\n終わり。次') == parts
    assert all(len(part) <= 601 for part in sentences_of("word " * 1000 + "x" * 2000))
    assert "".join(sentences_of("x" * 2000)) == "x" * 2000
    assert sentences_of(" \n\n ") == []


def test_empty_corpus(tmp_path: Path) -> None:
    report = run(corpus(tmp_path / "train", []), tmp_path)
    assert report.metrics["documents_in"] == 0


def test_tables_of_a_shard_are_let_go(train: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They take megabytes each, so that a thousand shards would not fit into memory."""
    alive: list[int] = []
    shards = list[ReferenceType[JudgedShard]]()

    def add_shard(counts: BiasCounts, shard: JudgedShard) -> None:
        shards.append(ref(shard))
        alive.append(sum(each() is not None for each in shards))

    monkeypatch.setattr(BiasCounts, "add_shard", add_shard)
    judge_corpus(train, PARAMS, tmp_path / "out", places(tmp_path)["work"], 1, Progress())
    assert len(shards) > 3
    assert max(alive) <= 2

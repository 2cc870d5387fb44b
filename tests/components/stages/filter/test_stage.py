"""Filter: decisions, counts, determinism, languages, redaction."""

import csv
import re
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.core.files import sha256_bytes
from components.corpus.corpus import Document, read_corpus, read_manifest
from components.params import Filter
from components.stages.filter.report import histograms, read_tags
from components.stages.filter.rule_counts import RuleCounts
from components.stages.filter.rules import RULES
from components.stages.filter.stage import filter_corpus
from components.text.language import identify
from tests.components.real_text import corpus, document, modules, places, tree
from tests.errors import refused

ORDINARY = {
    "English": "The committee met on Tuesday to discuss the budget, and its members agreed that more time was needed.",
    "German": "Der Ausschuss trat am Dienstag zusammen, um über den Haushalt zu beraten, und vertagte alles andere.",
    "French": "Le comité s'est réuni mardi pour discuter du budget, et ses membres ont demandé davantage de temps.",
    "Russian": "Комитет собрался во вторник, чтобы обсудить бюджет, и его члены решили отложить принятие решения.",
    "Turkish": "Komite salı günü bütçeyi görüşmek üzere toplandı ve üyeler daha fazla zamana ihtiyaç duydu.",
    "Hindi": "समिति की बैठक मंगलवार को बजट पर चर्चा करने के लिए हुई और सदस्यों ने कहा कि उन्हें और समय चाहिए।",
    "Arabic": "اجتمعت اللجنة يوم الثلاثاء لمناقشة الميزانية، واتفق الأعضاء على أنهم بحاجة إلى مزيد من الوقت.",
    "Japanese": "委員会は火曜日に予算について話し合うために集まり、さらに時間が必要だという点で一致した。",
    "Chinese": "委员会于星期二开会讨论预算,成员们一致认为需要更多的时间来研究这个问题。",
    "Thai": "คณะกรรมการประชุมกันในวันอังคารเพื่อหารือเรื่องงบประมาณ และสมาชิกเห็นพ้องกันว่าต้องใช้เวลามากกว่านี้",
    "Korean": "위원회는 화요일에 예산을 논의하기 위해 모였고, 위원들은 시간이 더 필요하다는 데 동의했다.",
    "Finnish": "Valiokunta kokoontui tiistaina keskustelemaan talousarviosta, ja jäsenet pyysivät lisää aikaa.",
}
RUBBISH = {
    "menu": "Home\nAbout\nHome\nAbout\nHome\nAbout\nHome\nAbout\nContact us here",
    "numbers": "12 44 91 0.3 77 12.5 88 19 3 4 5 99 1003 44 2 17 55 62 81 90 33 21",
    "symbols": "=== ### ==== ## --- ### ==== ## === ##### | | | | ### a b c" * 4,
    "repeated": "buy now " * 60,
    "long words": "aHR0cHM6Ly9leGFtcGxlLmNvbS9hYmNkZWY ZXhhbXBsZXRleHRlbmNvZGVk bm90aGluZ3RvcmVhZGhlcmU eW91d2lsbG5\n"
    * 3,
    "too short": "http://",
}


def run(folder: Path, documents: list[Document], params: Filter | None = None, workers: int = 1, **texts: Path) -> Path:
    """Filter into `folder`/out."""
    train = corpus(folder / "train", documents, shard_bytes=150_000)
    filter_corpus(train=train, params=params or Filter(), workers=workers, **places(folder), **texts)
    return folder / "out"


def dropped(out: Path) -> dict[str, tuple[str, str]]:
    """Location -> (rule, reason) of what was dropped."""
    rows = [row for shard in sorted((out / "dropped").glob("*.parquet")) for row in pq.read_table(shard).to_pylist()]
    return {row["location"]: (row["rule"], row["reason"]) for row in rows}


def given() -> list[Document]:
    """Real documents, ordinary sentences of many languages, rubbish, personal data."""
    extra = [document(name, text) for name, text in (ORDINARY | RUBBISH).items()]
    letter = "Please write to jane.doe@mail.org or call +44 20 7946 0958, and look at 93.184.216.34."
    return [*modules(), *extra, document("letter", letter)]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpus of `given`, filtered with one worker and the default limits."""
    folder = tmp_path_factory.mktemp("filter")
    run(folder, given())
    return folder


def test_rubbish_goes_and_every_language_stays(done: Path) -> None:
    gone = dropped(done / "out")
    assert set(RUBBISH) <= set(gone)
    assert not set(ORDINARY) & set(gone)
    real = {each.location for each in modules()}
    assert len(real & set(gone)) <= 0.05 * len(real)


def test_books_balance_and_reasons_state_value_and_limit_as_the_tags_do(done: Path) -> None:
    kept, gone = read_manifest(done / "out/train"), read_manifest(done / "out/dropped")
    assert kept.num_documents + gone.num_documents == len(given())
    assert sum(gone.facts["rules"].values()) == gone.num_documents
    rows = pq.read_table(sorted((done / "out/tags").glob("*.parquet"))).to_pylist()
    assert [row["id"] for row in rows] == [each.id for each in given()]
    assert {rule.score for rule in RULES} <= rows[0].keys()
    tags = {row["location"]: row for row in rows}
    scores = {rule.name: rule.score for rule in RULES}
    for location, (rule, reason) in dropped(done / "out").items():
        ((score, shown, sign, limit),) = re.findall(r"^(\w+) (\S+) ([<>]) (\S+?)(?:;|$)", reason)
        assert score == scores[rule]
        value = tags[location][score]
        assert value == pytest.approx(float(shown), rel=1e-3)
        assert value < float(limit) if sign == "<" else value > float(limit)


def test_personal_data_is_replaced_and_named_in_provenance(done: Path) -> None:
    kept = {each.location: each for each in read_corpus(done / "out/train")}
    letter = kept["letter"]
    assert letter.text == "Please write to <EMAIL> or call <PHONE>, and look at <IP>."
    assert letter.transforms == ("redact_pii",)
    assert letter.sha256 != sha256_bytes(letter.text.encode())  # still the hash of the text as ingested
    originals = {each.location: each for each in given()}
    for location, each in kept.items():
        assert (each == originals[location]) == (not each.transforms)


def test_a_package_reads_numbers_as_the_country_of_the_document_s_language(tmp_path: Path) -> None:
    texts = {
        "ru": "Пекарня Иванова, улица Ленина 5, 8 (495) 123-45-67, открыта каждый день.",
        "en": "The bakery, 5 Lenin street, 8 (495) 123-45-67, is open every day of the week.",
    }
    out = run(tmp_path, [document(*one) for one in texts.items()], Filter(rules="off", redact=["phonenumbers"]))
    kept = {each.location: each.text for each in read_corpus(out / "train")}
    assert kept == texts | {"ru": texts["ru"].replace("8 (495) 123-45-67", "<PHONE>")}


@pytest.mark.slow
def test_workers_do_not_matter_and_resuming_gives_the_same(done: Path, tmp_path: Path) -> None:
    run(tmp_path, given(), workers=2)
    assert tree(tmp_path / "out") == tree(done / "out")
    assert tree(tmp_path / "reports") == tree(done / "reports")
    for name in ("out", "reports", "train"):
        shutil.rmtree(tmp_path / name)
    run(tmp_path, given())  # the work folder has `done` marks, but its files were moved away
    assert tree(tmp_path / "out") == tree(done / "out")


def test_limits_per_source(tmp_path: Path) -> None:
    texts = [document(f"{source}/{at}", each.text, source) for source in "ab" for at, each in enumerate(modules()[:20])]
    params = Filter(rules="off", per_source={"b": {"max_words": 300}}, redact=[])
    gone = dropped(run(tmp_path, texts, params))
    assert gone
    assert all(location.startswith("b/") and rule == "max_words" for location, (rule, _) in gone.items())
    kept = read_manifest(tmp_path / "out/train")
    assert kept.sources["a"]["num_documents"] == 20


def test_what_a_source_loses_much_of_comes_first(tmp_path: Path) -> None:
    """A run without a person goes on; the first sentence of its report says what went, of which source."""
    texts = [document(f"{source}/{at}", each.text, source) for source in "ab" for at, each in enumerate(modules()[:20])]
    texts += [document(f"b/spam-{at}", RUBBISH["repeated"] + str(at), "b") for at in range(5)]
    run(tmp_path, texts, Filter(rules="off", limits={"max_top_2gram": 0.3}))
    first = (tmp_path / "reports/details/report.md").read_text().split("\n\n")[1]
    assert first.startswith("**Much was removed.** filter: b: 20.0% went, 20.0% by max_top_2gram;")


def test_wanted_languages(tmp_path: Path) -> None:
    documents = [document(name, text) for name, text in ORDINARY.items()]
    run(tmp_path, documents, Filter(limits={"min_language_score": 0.5}, languages=["de", "fr"]))
    assert {each.location for each in read_corpus(tmp_path / "out/train")} == {"German", "French"}


def test_an_unknown_language_and_nothing_left_are_refused(tmp_path: Path) -> None:
    with refused("check_languages", "filter.languages", "'xx'"):
        run(tmp_path / "a", list(modules()[:3]), Filter(languages=["xx"]))
    with refused("filter.stage.filter_corpus", "all 3", "min_words 3"):
        run(tmp_path, list(modules()[:3]), Filter(limits={"min_words": 10**6, "max_words": None}))


def test_the_report_shows_the_rules_that_were_broken_and_what_was_replaced(done: Path) -> None:
    text = (done / "reports/details/report.md").read_text()
    assert f"\n\n{len(dropped(done / 'out'))} of {len(given())} documents were dropped" in text
    with (done / "reports/details/rules.csv").open() as file:
        for row in csv.DictReader(file):
            shown = f"| {row['rule']} | docs | {row['limit']} | {row['broken']} | {row['only_this']} | {len(given())} |"
            assert (shown in text) == (row["broken"] != "0")
    with (done / "reports/details/personal.csv").open() as file:
        finds = [f"| docs | {row['kind']} | {row['found']} |" for row in csv.DictReader(file)]
    assert finds
    assert all(line in text for line in finds)
    assert "`too short`: num_words 1 < 2" in (done / "reports/details/examples.md").read_text()


def test_the_report_is_counted_in_bounded_memory_and_the_same_in_any_shards(done: Path, tmp_path: Path) -> None:
    tables = [pq.read_table(path) for path in sorted((done / "out/tags").glob("*.parquet"))]
    for name, times in (("few", 2), ("many", 40)):
        (tmp_path / name).mkdir()
        for number in range(times):
            pq.write_table(tables[number % len(tables)], tmp_path / name / f"part-{number:05d}.parquet")
    edges = {"num_words": np.linspace(0, 5, 11), "alpha_words": np.linspace(0, 1, 11)}

    def peak(folder: Path) -> tuple[int, RuleCounts, dict]:
        tracemalloc.start()
        counts = RuleCounts()
        for sources, columns in read_tags(folder):
            counts.add(sources, columns, Filter())
        seen = histograms(folder, edges)
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size, counts, seen

    peak(tmp_path / "few")  # what is imported and cached once does not count
    assert peak(tmp_path / "many")[0] < 1.5 * peak(tmp_path / "few")[0]
    (tmp_path / "one").mkdir()
    pq.write_table(pa.concat_tables(tables), tmp_path / "one/part-00000.parquet")
    _, split, split_seen = peak(done / "out/tags")
    _, whole, whole_seen = peak(tmp_path / "one")
    assert split == whole
    assert split_seen.keys() == whole_seen.keys()
    assert all((split_seen[key] == whole_seen[key]).all() for key in whole_seen)
    assert whole_seen["alpha_words", "docs"].sum() == len(given())


def test_a_variety_is_read_as_its_language(tmp_path: Path) -> None:
    varieties = {
        "他们讲上海闲话个辰光，伊拉勿会听勿懂。": "zh",
        "下晏個阵雨落得好大，我哋冇帶遮，所以留喺屋企食飯。": "zh",
        "هاد الشي ديال المغرب زوين بزاف، واش غادي تمشي معانا غدا؟": "ar",
        "ايه اللي حصل امبارح ده؟ مش عارف والله": "ar",
    }
    for text, language in varieties.items():
        assert identify(text) == (language, pytest.approx(1.0, abs=0.02))
    documents = [document(language + text[:3], text) for text, language in varieties.items()]
    run(tmp_path, documents, Filter(limits={"min_language_score": 0.5}, languages=["zh", "ar"]))
    assert read_manifest(tmp_path / "out/train").num_documents == 4

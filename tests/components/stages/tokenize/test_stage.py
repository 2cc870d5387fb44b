"""The tokenize stage: shards hold every byte of the corpora, a second run changes none, bad input is explained."""

import csv
import json
from pathlib import Path

import networkx
import pytest

from components.core.files import read_json
from components.core.report import Report
from components.corpus.corpus import read_corpus, read_manifest
from components.params import Tokenize
from components.stages.tokenize.report import ill_served
from components.stages.tokenize.stage import even_sample, tokenize
from components.tokens.shards import TokenShards
from components.tokens.tokenizer import Encoder, reference
from tests.components.real_text import corpus, document, places
from tests.errors import refused, refuses

PARAMS = Tokenize(vocab_size=600, train_megabytes=0.3)


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real source text of networkx as two sources, and a document with special-token strings and rare scripts."""
    folder = tmp_path_factory.mktemp("corpora")
    root = Path(networkx.__file__).parent
    paths = sorted(root.glob("algorithms/**/*.py"))[:80]
    documents = [
        document(path.relative_to(root).as_posix(), path.read_text(), "graphs" if index % 3 else "others")
        for index, path in enumerate(paths)
    ]
    special = document("special", "<|endoftext|><|pad|> 名前はまだ無い \U0001f600 \x00 " * 5, "others")
    corpus(folder / "train", [*documents[8:], special], 150_000)
    corpus(folder / "heldout", documents[:8])
    return folder


def run(corpora: Path, target: Path, params: Tokenize = PARAMS) -> Report:
    where = {"train": corpora / "train", "heldout": corpora / "heldout"} | places(target)
    return tokenize(params=params, **where)


@pytest.fixture(scope="module")
def made(corpora: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    target = tmp_path_factory.mktemp("made")
    return target, run(corpora, target)


def test_the_shards_are_the_corpus(corpora: Path, made: tuple[Path, Report]) -> None:
    tokenizer_json = (made[0] / "out" / "tokenizer.json").read_text()
    encoder, slow = Encoder(tokenizer_json), reference(tokenizer_json)
    for split in ("train", "heldout"):
        shards = TokenShards.open(made[0] / "out" / split)
        starts = shards.document_starts().tolist()
        documents = list(read_corpus(corpora / split))
        assert len(shards.manifest.shards) == len(read_manifest(corpora / split).shards) > 0
        for index, one in enumerate(documents):
            ids = shards.window(starts[index], starts[index + 1] - starts[index]).tolist()
            assert ids == [0, *slow.encode(one.text, add_special_tokens=False).ids]
            assert encoder.decode(ids[1:]) == one.text
            assert shards.manifest.sources[shards.document_sources()[index]] == one.source
        assert shards.manifest.num_bytes == sum(len(one.text.encode()) for one in documents)
    assert len(read_manifest(corpora / "train").shards) > 1


def test_the_report_adds_up(corpora: Path, made: tuple[Path, Report]) -> None:
    folder, report = made
    for split in ("train", "heldout"):
        manifest = read_json(folder / "out" / split / "manifest.json")
        assert report.metrics[f"{split}/tokens"] == manifest["num_tokens"]
        assert report.metrics[f"{split}/bytes_per_token"] == manifest["num_bytes"] / manifest["num_tokens"]
    assert 1.5 < report.metrics["heldout/bytes_per_token"] < 5
    assert 0 <= report.metrics["heldout/overlap_13gram"] < 1
    with (folder / "reports" / "details" / "languages.csv").open() as file:
        languages = [row for row in csv.DictReader(file) if row["split"] == "heldout"]
    assert sum(int(row["documents"]) for row in languages) == 8  # fewer than the sample: all of them
    assert sum(int(row["tokens"]) for row in languages) == report.metrics["heldout/tokens"]
    assert languages[0]["language"] == "en"
    assert "| heldout | en |" in report.markdown
    assert len((folder / "reports" / "details" / "sources.csv").read_text().splitlines()) == 5
    assert len((folder / "reports" / "details" / "vocabulary.csv").read_text().splitlines()) >= 601
    assert (folder / "reports" / "plots" / "tokenizer.png").stat().st_size > 5000
    assert read_json(folder / "reports" / "metrics.json")["vocab_size"] == 600
    assert str(folder) not in json.dumps([report.markdown, report.facts])


def test_overlap_finds_a_quotation(corpora: Path, tmp_path: Path) -> None:
    heldout = list(read_corpus(corpora / "heldout"))
    quoted = document("quotation", "As they say:\n" + heldout[0].text, "others")
    corpus(tmp_path / "heldout", heldout)
    corpus(tmp_path / "train", [*read_corpus(corpora / "train"), quoted])
    report = run(tmp_path, tmp_path / "made")
    table = (tmp_path / "made" / "reports" / "details" / "overlap.csv").read_text().splitlines()
    work = f"{heldout[0].source}: {heldout[0].group}"
    assert table[1].startswith(f"{work},")
    assert float(table[1].rsplit(",", 1)[1]) == 1
    assert f"| {work} |" in report.markdown


def test_a_language_that_the_vocabulary_spells_in_bytes_is_named(corpora: Path, tmp_path: Path) -> None:
    chinese = (
        "春眠不觉晓，处处闻啼鸟。夜来风雨声，花落知多少。白日依山尽，黄河入海流。欲穷千里目，更上一层楼。红豆生南国。"
    )
    more = [document(f"zh-{at}", f"{chinese}{at}", "others") for at in range(2)]
    more += [document(f"made-{at}", f"{at}7 ~ zub ~ wol |\n" * 9, "curriculum/copy") for at in range(60)]
    corpus(tmp_path / "train", [*read_corpus(corpora / "train"), *more])
    corpus(tmp_path / "heldout", read_corpus(corpora / "heldout"))
    report = run(tmp_path, tmp_path / "made")
    warnings = report.facts["warnings"]
    (warning,) = [one for one in warnings if one.startswith("tokenize: text in zh has 0.99 bytes a token")]
    assert not any("text in en" in one or "without language" in one for one in warnings)
    with (tmp_path / "made" / "reports" / "details" / "languages.csv").open() as file:
        counted = [int(row["documents"]) for row in csv.DictReader(file) if row["split"] == "train"]
    assert sum(counted) == read_manifest(tmp_path / "train").num_documents - 60, "no generated document"
    (code,) = ill_served([("train", "zxx", 9, 9, 9, 9, 1.98, 3.0)])
    assert code.startswith("tokenize: text without language (code, numbers) has 1.98 bytes a token")
    assert f"**Warning.** {warning}." in report.markdown.split("\n\n")[1 : 1 + len(warnings)]


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 1.0])
def test_the_sample_is_even(corpora: Path, share: float) -> None:
    manifest = read_manifest(corpora / "train")
    pieces = list(even_sample(corpora / "train", manifest, share))
    total = sum(len(one.text) for one in read_corpus(corpora / "train"))
    assert abs(sum(map(len, pieces)) - share * total) <= 20_000
    if share == 1.0:
        assert "".join(pieces) == "".join(one.text for one in read_corpus(corpora / "train"))


def test_a_small_corpus_says_what_to_set_and_an_empty_one_is_refused(corpora: Path, tmp_path: Path) -> None:
    with refused("tokenizer._refuse_small", "tokenize.vocab_size = 150000", "set tokenize.vocab_size"):
        run(corpora, tmp_path / "small", Tokenize(vocab_size=150_000))
    corpus(tmp_path / "train", list(read_corpus(corpora / "train"))[:3])
    corpus(tmp_path / "heldout", [])
    refuses(lambda: run(tmp_path, tmp_path / "made"), "tokenize.stage._manifest", "held-out")

"""A document on the opt-out list leaves no trace: what is trained on is what a run that never had it is trained on."""

from pathlib import Path

import numpy
import pytest

from components.core.files import write_text
from components.corpus.corpus import read_corpus
from components.lineage.documents import query_of, trace
from components.params import Bias, Canaries, Curriculum, Dedup, Files, Filter, Ingest, Mix, Tokenize
from components.stages.bias.stage import filter_bias
from components.stages.dedup.stage import dedup
from components.stages.filter.stage import filter_corpus
from components.stages.ingest.stage import ingest
from components.stages.mix.stage import mix
from components.stages.pretrain.stage import pretrain
from components.stages.tokenize.stage import tokenize
from tests.components.lineage.test_documents import view_of
from tests.components.real_text import tree
from tests.components.small_corpus import NUMERICS, small

TEXTS = sorted(Path(numpy.__file__).parent.glob("lib/*.py"), key=lambda path: -path.stat().st_size)[:10]
TRAINED = ("ingest/train", "ingest/heldout", "dedup/train", "filter/train", "bias/train", "mix/train", "tokenize")

LICENCES = {"mine": "BSD-3-Clause", "other": "MIT"}


def grown(root: Path, texts: list[Path], opt_out: str = "") -> Path:
    """The pipeline as far as a pretrained model, from these files and an opt-out list."""
    for text in texts:
        write_text(root / "mine" / f"{text.stem}.txt", text.read_text().replace("numpy", "numpy@example.org", 1))
    write_text(root / "opt_out.txt", opt_out)
    data = root / "data"
    settings = Ingest(
        sources=[Files(name="mine", path="mine", licence="BSD-3-Clause")], watch="mine", max_quarantine=1.0
    )

    def places(name: str) -> dict[str, Path]:
        made = {"out": data / name, "reports": root / "reports" / name, "work": root / "work" / name}
        for folder in made.values():
            folder.mkdir(parents=True, exist_ok=True)
        return made

    ingest(root=root, params=settings, **places("ingest"))
    heldout = data / "ingest/heldout"
    dedup(train=data / "ingest/train", heldout=heldout, params=Dedup(), **places("dedup"))
    filter_corpus(train=data / "dedup/train", heldout=heldout, params=Filter(), **places("filter"))
    bias = Bias(max_removal_ratio=1000, max_probe_gap=1)
    filter_bias(train=data / "filter/train", params=bias, **places("bias"))
    mixture = Mix(curriculum=Curriculum(share=0.1), canaries=Canaries(per_count=1, counts=[2]))
    mix(train=data / "bias/train", params=mixture, **places("mix"))
    words = Tokenize(vocab_size=400, train_megabytes=0.2)
    tokenize(train=data / "mix/train", heldout=heldout, params=words, **places("tokenize"))
    params = small(steps=4, eval_every=4)
    pretrain(objective="causal", tokens=data / "tokenize", params=params, numerics=NUMERICS, **places("pretrain"))
    return root


@pytest.fixture(scope="module")
def with_it(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that had every text."""
    return grown(tmp_path_factory.mktemp("with"), TEXTS)


def test_the_bytes_are_those_of_a_run_that_never_had_the_document(with_it: Path, tmp_path: Path) -> None:
    train = {document.location.split("#")[0] for document in read_corpus(with_it / "data/mix/train")}
    name = min(location for location in train if location.endswith(".txt"))
    forgotten = grown(tmp_path / "forgotten", TEXTS, f"location: {name}\n")
    never = grown(tmp_path / "never", [text for text in TEXTS if f"{text.stem}.txt" != name])
    for part in TRAINED:
        assert tree(forgotten / "data" / part) == tree(never / "data" / part), part
    assert tree(forgotten / "data/pretrain") == tree(never / "data/pretrain")
    assert tree(forgotten / "data/mix/train") != tree(with_it / "data/mix/train")


@pytest.mark.parametrize(
    ("text", "kind"),
    [("numpy@example.org", "email"), ("mine", "source"), ("BSD-3-Clause", "licence"), ("_", "prefix")],
)
def test_what_may_name_many_documents_is_understood(with_it: Path, text: str, kind: str) -> None:
    query = query_of(text, view_of(with_it))
    assert (query.kind, query.value) == (kind, text)
    assert (found := trace(query, view_of(with_it)))
    assert all(one.facts["location"].startswith("_") for one in found if kind == "prefix")


@pytest.mark.parametrize("entry", ["source: mine", "licence: BSD-3-Clause"])
def test_a_source_or_a_licence_can_be_opted_out(entry: str, tmp_path: Path) -> None:
    from components.stages.ingest.opt_out import load

    write_text(tmp_path / "opt_out.txt", f"{entry}\n")
    write_text(tmp_path / "mine" / "a.txt", TEXTS[0].read_text())
    write_text(tmp_path / "other" / "b.txt", TEXTS[1].read_text())
    mine, other = (Files(name=name, path=name, licence=licence) for name, licence in LICENCES.items())
    settings = Ingest(sources=[mine, other], watch=".")
    for folder in ("data", "reports", "work"):
        (tmp_path / folder).mkdir()
    ingest(root=tmp_path, params=settings, out=tmp_path / "data", reports=tmp_path / "reports", work=tmp_path / "work")
    dropped = list(read_corpus(tmp_path / "data/dropped"))
    assert dropped
    assert {document.source for document in read_corpus(tmp_path / "data/train")} == {"other"}
    assert load(tmp_path / "opt_out.txt").line_of(dropped[0]) == 1

"""A data stage that is to stop does so between two pieces of work, and the next run makes the same bytes."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from components.core.errors import Stopped
from components.core.progress import Progress
from components.params import Files, Ingest, Mix, Tokenize
from components.stages.ingest.stage import ingest
from components.stages.mix.stage import mix
from components.stages.tokenize.stage import tokenize
from tests.components.real_text import corpus, modules, places, tree
from tests.progress_recorder import Recorder, stops_at


def run_ingest(place: Path, source: Path, progress: Progress) -> None:
    (place / "opt_out.txt").touch()
    settings = Ingest(sources=[Files(path=str(source))], opt_out="opt_out.txt", watch=str(source), max_quarantine=1.0)
    ingest(root=place, params=settings, progress=progress, **places(place))


def run_mix(place: Path, source: Path, progress: Progress) -> None:
    mix(train=source, params=Mix(augment="counterfactual"), progress=progress, **places(place))


def run_tokenize(place: Path, source: Path, progress: Progress) -> None:
    tokenize(train=source, heldout=source, params=Tokenize(vocab_size=400), progress=progress, **places(place))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty small files."""
    folder = tmp_path_factory.mktemp("files")
    for number, document in enumerate(modules("scipy", 60)):
        (folder / f"{number:02d}.txt").write_text(document.text)
    return folder


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of several shards."""
    return corpus(tmp_path_factory.mktemp("in") / "train", modules("scipy", 60), shard_bytes=20_000)


@pytest.mark.parametrize("run", [run_ingest, run_mix, run_tokenize])
def test_it_looks_often_and_a_stopped_run_made_anew_has_the_same_bytes(
    run: Callable[[Path, Path, Progress], None], files: Path, train: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("components.core.progress.CHECK_EVERY", 10)
    source = files if run is run_ingest else train
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    for place in (whole, stopped):
        place.mkdir()
    undisturbed = Recorder()
    run(whole, source, undisturbed)
    shards = len(list(train.glob("*.parquet")))
    assert shards > 3
    # Sixty documents, read once and written once; or every shard, twice.
    assert undisturbed.num_checks >= (2 * shards if run is run_tokenize else 12)
    for limit in (0, undisturbed.num_checks // 2, undisturbed.num_checks - 1):
        with pytest.raises(Stopped):
            run(stopped, source, stops_at(limit + 1))
        for name in ("out", "reports"):  # as a flow gives them: empty; work as the last run left it
            shutil.rmtree(stopped / name)
    run(stopped, source, Progress())
    assert tree(stopped / "out") == tree(whole / "out")

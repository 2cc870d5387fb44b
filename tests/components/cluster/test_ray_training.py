"""Training on a Ray cluster of several nodes: the bytes of one machine's processes, though a node is lost midway."""

from pathlib import Path

import psutil
import pytest

from components.cluster import ray_training
from components.cluster.ray_training import RayNodes
from components.core.errors import UserError
from components.core.progress import Progress
from components.corpus.corpus import CorpusWriter, read_corpus
from components.model import export
from components.model.shape import derive_shape
from components.model.transformer import Transformer
from components.params import Branch, Finetune, Instruct, ModelShape, Numerics, Prefer
from components.stages.finetune.stage import finetune
from components.stages.pretrain.stage import pretrain
from components.tokens.tokenizer import train_bpe
from components.training.data_parallel import Place, ThisMachine
from tests.components import task_corpora as corpora
from tests.components.cluster.conftest import Nodes
from tests.components.real_text import tree
from tests.components.small_corpus import small, write_tokens

pytestmark = [pytest.mark.xdist_group("ray"), pytest.mark.slow]


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tokens(tmp_path_factory.mktemp("corpus") / "tokenize")


class Log(Progress):
    """Keeps the lines; calls `halfway` once, after half of the steps."""

    def __init__(self, halfway: bool) -> None:
        self.lines: list[str] = []
        self.waits = halfway

    def log(self, line: str) -> None:
        self.lines.append(line)

    def update(self, done: int, total: int | None, unit: str, note: str = "") -> None:
        if self.waits and total and done > total // 2:
            self.waits = False
            kill_node_of_worker()


def kill_node_of_worker() -> None:
    """Kill, as a power cut would, all processes of the Ray node on which a training process runs."""
    worker = next(each for each in psutil.process_iter() if is_worker(each))
    raylet = next(above for above in worker.parents() if above.name() == "raylet")
    for each in [raylet, *raylet.children(recursive=True)]:
        each.kill()


def is_worker(process: psutil.Process) -> bool:
    try:
        return "components.stages.pretrain.stage" in process.cmdline() and process.parents() != []
    except psutil.Error:
        return False


def trained(tokens: Path, folder: Path, place: Place, progress: Progress, **numerics: object) -> dict[str, bytes]:
    """A short pretraining of two processes; all it wrote."""
    pretrain(
        objective="causal", tokens=tokens, params=small(), numerics=Numerics(**({"processes": 2} | numerics)),
        out=folder / "out", reports=folder / "reports", work=folder / "work", progress=progress, place=place,
    )  # fmt: skip
    return tree(folder / "out") | tree(folder / "reports" / "details")


@pytest.mark.long
def test_the_bytes_are_those_of_one_machine_though_a_node_is_lost(tokens: Path, nodes: Nodes, tmp_path: Path) -> None:
    expected = trained(tokens, tmp_path / "here", ThisMachine(), Progress())
    seen = Log(halfway=True)
    assert trained(tokens, tmp_path / "nodes", RayNodes(nodes.address), seen) == expected
    assert [line for line in seen.lines if "the others go on from the last checkpoint" in line]


@pytest.mark.long
@pytest.mark.parametrize(
    ("branch", "train", "params"),
    [
        ("instruct", "train", Instruct(steps=6, batch=8, context=64, max_pairs=60)),
        ("prefer", "mix", Prefer(steps=4, batch=4, context=64, base="base", data="mix")),
    ],
)
def test_fine_tuning_has_the_bytes_of_one_machine_too(
    branch: Branch, train: str, params: Finetune, nodes: Nodes, tmp_path: Path
) -> None:
    root = corpora.python_docs(tmp_path)
    with CorpusWriter(root / "mix") as writer:
        for task in ("recall", "arithmetic"):
            writer.add(corpora.document("", task, task, f"curriculum/{task}"))
    tokenizer_json = train_bpe([document.text for document in read_corpus(root / "train")], 600).to_str()
    shape = derive_shape(ModelShape(size=2, width=64, heads=2), 600, 64, causal=True)
    export.save(Transformer(shape).initialise(1), tokenizer_json, root / "base", {"training": {"steps": 0}})

    def tuned(folder: Path, place: Place) -> dict[str, bytes]:
        finetune(
            branch=branch, base=root / "base", train=root / train, heldout=root / "heldout",
            params=params, numerics=Numerics(processes=2), place=place,
            out=folder / "out", reports=folder / "reports", work=folder / "work",
        )  # fmt: skip
        return tree(folder / "out")

    assert tuned(tmp_path / "nodes", RayNodes(nodes.address)) == tuned(tmp_path / "here", ThisMachine())


@pytest.mark.long
def test_too_small_a_cluster_is_refused(tokens: Path, nodes: Nodes, tmp_path: Path) -> None:
    """Of a process all cores are on one node."""
    says = r"numerics.processes = {}: the nodes of the Ray cluster have \d( \+ \d)+ CPUs, and {} times {} are needed"
    for processes, threads in ((4, 100), (2, 3)):
        with pytest.raises(UserError, match=says.format(processes, processes - 1, threads)):
            trained(tokens, tmp_path, RayNodes(nodes.address), Progress(), processes=processes, threads=threads)


@pytest.mark.long
def test_a_node_with_other_packages_is_refused(
    tokens: Path, nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = ray_training._versions() | {"torch": "0.1"}
    monkeypatch.setattr(ray_training, "_versions", lambda: ours)
    with pytest.raises(UserError, match=r"has torch .*, this machine 0\.1; install the same constraints"):
        trained(tokens, tmp_path, RayNodes(nodes.address), Progress())


def test_a_node_without_the_projects_folder_is_refused() -> None:
    problem = ray_training._problem(["/nowhere/at/all"], ray_training._versions())
    assert "has no folder /nowhere/at/all; training processes share the project's folder" in problem

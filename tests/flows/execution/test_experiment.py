"""The worktree of an experiment: what it brings and saves, and a sentence where files, git or DVC refuse it.

On stages in miniature; tests/flows/test_forms.py has an experiment from the form, test_readme.py from a
terminal.
"""

import csv
import io
import json
import re
from contextlib import nullcontext

import pytest

from components.params import load
from flows.execution import experiment
from flows.system import params_file, paths
from tests.errors import refused, shows
from tests.flows.pipeline_clone import PipelineClone, make_clone

pytestmark = pytest.mark.pipeline

TRY = """
from components.core.errors import UserError
from components.params import load
from flows.execution import experiment
from flows.system import paths
try:
    with experiment.worktree("calm-otter", load(paths.ROOT / "params.yaml")) as root:
        {inside}
        print("went in")
except UserError as error:
    print(f"refused: {{error}}")
"""


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> PipelineClone:
    """A clone in which nothing runs; each test leaves it as it was."""
    return make_clone(tmp_path_factory.mktemp("worktree"))


def attempt(clone: PipelineClone, inside: str = "pass") -> str:
    """The last line of making a worktree: `went in`, or the refusal."""
    return clone.run_code(TRY.format(inside=inside)).splitlines()[-1]


def test_changed_values_make_an_experiment_which_ends_at_no_stage() -> None:
    own = load(paths.ROOT / "params.yaml")
    for values, is_one in (({}, False), ({"runtime.workers": 7}, False), ({"mix.seed": 77}, True)):
        with refused("refuse_until", "until mix") if is_one else nullcontext():
            experiment.refuse_until("mix", params_file.changed(own, values, ""), own)


NAMED = {
    "ingest.opt_out": ("mine.txt", "mine.txt"),
    "ingest.watch": ("notes", "notes/a.txt"),
    "ingest.sources": ([{"kind": "files", "name": "own", "path": "notes/b.txt"}], "notes/b.txt"),
    "filter.decontaminate.items": ("sets", "sets/a.jsonl"),
    "finetune.instruct.data": ("rows.jsonl", "rows.jsonl"),
    "runtime.grid.series": ("reports/hours.csv", "reports/hours.csv"),  # reports/ is in .gitignore
}
"""Key of params.yaml -> a value that names a file, and that file."""


def test_untracked_files_that_parameters_name_are_refused(clone: PipelineClone) -> None:
    before = (clone.root / "params.yaml").read_text()
    files = sorted(file for _, file in NAMED.values())
    values = {key: value for key, (value, _) in NAMED.items()}
    (clone.root / "params.yaml").write_text(params_file.edited(before, values))
    for file in files:
        path = clone.root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("one line\n")
    try:
        said = attempt(clone)
        shows(said, "refuse_untracked_inputs", "refused", ", ".join(files[:5]) + " and 1 more")
        clone.git("add", "--force", files[0])
        assert f": {', '.join(files[1:])};" in attempt(clone)  # five, and no more
        clone.git("add", "--force", *files[1:])
        assert attempt(clone, f"assert all((root / file).exists() for file in {files})") == "went in"
        (clone.root.parent / "mine.txt").write_text("one line\n")
        (clone.root / "params.yaml").write_text(params_file.edited(before, {"ingest.opt_out": "../mine.txt"}))
        shows(attempt(clone), "experiment._untracked", "refused: ../mine.txt")
    finally:
        clone.git("rm", "--quiet", "--force", "--ignore-unmatch", *files)
        for file in files:
            (clone.root / file).unlink(missing_ok=True)
        (clone.root / "params.yaml").write_text(before)


EXPERIMENT = """
import json
from components.params import load
from flows.execution import experiment
from flows.system import dvc, params_file, paths
own = load(paths.ROOT / "params.yaml")
values = {"pretrain.causal.seed": 5, "evaluate.heldout_kilobytes": 11.0}
with experiment.worktree("calm-otter", params_file.changed(own, values, "")) as root:
    shown = {
        "stale": sorted(dvc.stale(root)),
        "last line": (root / "README.md").read_text().splitlines()[-1],
        "model": (root / "models/pretrain/masked/model.safetensors").exists(),
        "local": (root / ".dvc/config.local").read_text(),
    }
    ran = dvc.run("repro", root=root)
    shown["ran"] = [stage for stage in dvc.graph(root) if f"Running stage '{stage}'" in ran]
    experiment.save(root, "calm-otter")
print(json.dumps(shown))
"""


def test_it_has_all_of_the_workspace_runs_what_differs_and_is_saved(toy_clone: PipelineClone) -> None:
    """As after a first run: dvc.lock and a remote of one's own are not tracked, and a tracked file is changed."""
    clone = toy_clone
    clone.git("rm", "--quiet", "--cached", "dvc.lock")
    clone.git("commit", "--quiet", "--message", "nothing has run")
    (clone.root / ".dvc/config.local").write_text("['remote \"shelf\"']\n    url = /nowhere\n")
    with open(clone.root / "README.md", "a") as file:
        file.write("changed here\n")
    before, status = clone.outputs(), clone.git("status", "--porcelain")
    shown = json.loads(clone.run_code(EXPERIMENT).splitlines()[-1])
    local = shown.pop("local")
    assert "url = /nowhere" in local
    assert f"dir = {clone.root / '.dvc/cache'}" in local
    assert shown == {
        "stale": ["evaluate", "pretrain@causal"],
        "last line": "changed here",
        "model": True,
        "ran": ["pretrain@causal", "evaluate"],
    }
    assert clone.outputs() == before
    assert clone.git("status", "--porcelain") == status
    assert clone.git("worktree", "list").count("\n") == 1
    rows = {row["Experiment"]: row for row in csv.DictReader(io.StringIO(clone.run("dvc", "exp", "show", "--csv")))}
    (size,) = [key for key in rows[""] if key.endswith("evaluate.heldout_kilobytes")]
    assert [float(rows[name][size]) for name in ("", "calm-otter")] == [10, 11]


AT_ONCE = """
from concurrent.futures import ProcessPoolExecutor
from components.params import load
from flows.execution import experiment
from flows.system import paths

def save(name):
    with experiment.worktree(name, load(paths.ROOT / "params.yaml")) as root:
        experiment.save(root, name)

with ProcessPoolExecutor(3) as processes:
    list(processes.map(save, ["one-otter", "two-otter", "three-otter"]))
"""


def test_experiments_that_end_at_once_are_all_saved(toy_clone: PipelineClone) -> None:
    """`dvc exp save` of two at once broke off: both take the same git references."""
    toy_clone.run_code(AT_ONCE)
    saved = toy_clone.run("dvc", "exp", "list", "--name-only")
    assert {"one-otter", "two-otter", "three-otter"} <= {*saved.split()}


def test_a_tracked_dvc_file_stands_for_its_folder(clone: PipelineClone) -> None:
    text = clone.root / "texts" / "a.txt"
    text.parent.mkdir()
    text.write_text("one line\n")
    before = (clone.root / "params.yaml").read_text()
    clone.run("dvc", "add", "texts")
    clone.git("add", "texts.dvc")
    try:
        clone.edit("params.yaml", "  watch: corpora/pins.json", "  watch: texts")
        assert attempt(clone, "assert (root / 'texts/a.txt').exists()") == "went in"
    finally:
        clone.git("rm", "--quiet", "--force", "texts.dvc")
        (clone.root / "params.yaml").write_text(before)
        clone.git("checkout", "--quiet", "--", ".gitignore")


@pytest.mark.parametrize(
    ("path", "text", "inside", "says"),
    [
        ("components/mine.py", "", "pass", r".*: components/mine\.py; `git add`"),
        ("dvc.lock", "stages: [", "pass", r"dvc checkout.*dvc\.lock"),
        (".greenhouse/worktrees/calm-otter", "", "pass", "git worktree add.*already exists"),
        ("notes.txt", "", "experiment.save(root, 'no~name')",
         r"dvc exp save[^\[]*no~name[^\[]*$"),
    ],
    ids=["a source file", "DVC", "git", "its name"],
)  # fmt: skip
def test_what_cannot_be_an_experiment_is_a_sentence(
    clone: PipelineClone, path: str, text: str, inside: str, says: str
) -> None:
    (file := clone.root / path).parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    try:
        said = attempt(clone, inside)
    finally:
        file.unlink()
    assert re.match(f"refused: {says}", said), said

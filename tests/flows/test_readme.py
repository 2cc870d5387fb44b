"""Every command line of README and docs, in a block or a sentence, as written; long ones by what is named here."""

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest
from cyclopts import MissingArgumentError
from dvc.cli import DvcParserError, parse_args

from components import params as schema
from flows import cli
from flows.run import form_of
from flows.system import dvc
from tests.flows.pipeline_clone import LOGIN, ROOT, PipelineClone

README = (ROOT / "README.md").read_text("utf-8")
DOCS = {path.stem: path.read_text("utf-8") for path in sorted((ROOT / "docs").glob("*.md"))}
GENERATED = ("reference", "results")
BESIDE = ("CONTRIBUTING.md", "SECURITY.md", "recorder/README.md", "docs/specimen/README.md")
COVERED = {
    line: test
    for test, lines in {
        "flows/test_up.py::test_up_serves_guards_and_stops": ("make up",),
        "flows/test_verify.py::test_identical_then_the_first_difference": (
            "greenhouse verify causal",
            "greenhouse verify instruct",
            "greenhouse verify pretrain@causal --at v1.0",
        ),
        "flows/test_scaling.py::test_a_killed_sweep_goes_on_and_checks_what_it_predicted": (
            "greenhouse study scaling",
        ),
        "flows/edit/test_rows.py::test_rows_are_shown_and_written": ("greenhouse edit rows rows.jsonl",),
        "flows/tracking/test_signed_folder.py::test_a_folder_is_made_checked_and_found_out": (
            "greenhouse export instruct --to signed --key KEY --out FOLDER",
            "greenhouse verify FOLDER --key KEY.pub",
        ),
        "flows/test_seeds.py::test_trainings_are_experiments_and_their_spread_is_the_noise_floor": (
            "greenhouse study seeds",
        ),
        "flows/test_data_choices.py::test_an_arm_that_differs_in_seeds_alone_gains_nothing": (
            "greenhouse study data --arm dedup.near=false",
            "greenhouse study data --arm mix.augment=counterfactual --arm mix.augment=random",
        ),
        "flows/test_promote.py::test_the_better_model_is_promoted_and_the_equal_one_is_not": (
            "greenhouse promote",
            "greenhouse promote STATE --withdraw KIND=REASON",
        ),
        "flows/edit/test_text.py::test_a_file_changed_added_or_deleted_makes_ingest_stale": (
            "greenhouse run --data ~/my-texts",
            "greenhouse run --data ~/texts",
        ),
        "flows/edit/test_text.py::test_hub_ids_need_a_commit": ("greenhouse run --data owner/name@<commit>",),
        "../.ci/run": ("make test", "make lint"),
        "../.ci/nightly": (
            "make test-fast",
            "make bench NAME=long",
            "python -m benchmarks.specimen",
            "python -m benchmarks.specimen --check",
        ),
        "flows/test_run.py::test_a_preset_is_values_of_one_run_and_values_win_over_it": (
            "greenhouse run --preset NAME",
        ),
        "flows/test_pipeline.py::test_accept_keeps_an_output_on_the_record": (
            "greenhouse plan --accept STAGE --reason REASON",
        ),
        "recorder/test_command.py::test_a_run_is_recorded_with_its_code_data_and_outputs": (
            "greenhouse-record --data data/ --out model/ -- torchrun train.py",
            "greenhouse-record --data data/ --out model/ -- torchrun train.py --config c.yaml",
        ),
        "flows/test_sync.py::test_a_fresh_clone_compares_what_another_made": (
            "greenhouse sync push",
            "greenhouse sync pull",
            "dvc pull",
            "git push",
            "git pull",
            "dvc remote add --default team s3://bucket/greenhouse",
            'git add .dvc/config && git commit -m "DVC remote"',
            'git add dvc.lock params.yaml opt_out.txt forgotten.json withdrawn.json && git commit -m "what I changed"',
            "git clone URL greenhouse && cd greenhouse && make setup",
            "greenhouse compare HEAD~1 workspace",
        ),
        "flows/test_trace.py::test_a_text_leads_to_the_models_that_saw_it": ("greenhouse trace b7384cd0377f08ca",),
        "flows/test_forget.py::test_a_dry_run_names_models_price_and_copies_and_changes_nothing": (
            'greenhouse forget "QUERY"',
        ),
        "flows/test_forget.py::test_from_a_fresh_clone_a_text_goes_with_all_its_copies": (
            'greenhouse forget "QUERY" --apply',
            'greenhouse forget "QUERY" --purge',
        ),
        "flows/test_adopt.py::test_a_recorded_run_is_answered_for_signed_and_run_again": (
            "greenhouse adopt ~/run/model --name mine",
            "greenhouse verify adopted/mine",
            "greenhouse verify adopted/NAME",
            "greenhouse adopt FOLDER",
            "git add models/adopted",
        ),
        "flows/edit/test_text.py::test_a_folder_of_text": (
            "greenhouse run --data notes.md",
            "greenhouse edit text ~/texts",
        ),
        "flows/edit/test_rows.py::test_a_base_is_described_before_it_is_written": (
            "greenhouse edit rows chats.jsonl --base ~/Qwen3-0.6B --dry-run",
        ),
        "flows/edit/test_rows.py::test_the_hub_is_read_at_a_commit_alone": (
            "greenhouse edit base owner/name@<commit> --branch instruct",
        ),
    }.items()
    for line in lines
}
"""Line -> the test that runs the command: it takes minutes, or removes what others need."""
COMMAND = re.compile(r"(git|greenhouse|greenhouse-record|make|python -m|pip|dvc|prefect|mlflow|\.) [\w./'-]")


def command_lines() -> list[str]:
    """Commands of README in its order, then of docs: lines of code blocks and words between backticks."""
    pages = [README, *(page for name, page in DOCS.items() if name not in GENERATED)]
    pages += [(ROOT / name).read_text("utf-8") for name in BESIDE]
    quoted = [" ".join(words.split()) for page in pages for words in re.findall(r"`([^`]+)`", without_fences(page))]
    shown = [*code_lines(README), *quoted, *(line for page in pages for line in code_lines(page))]
    lines = dict.fromkeys(re.split(r"   +|  +#", line)[0] for line in shown)
    return [line for line in lines if COMMAND.match(line) and is_whole(line)]


def is_whole(line: str) -> bool:
    """Whether it is more than the name of a verb or a module that a sentence is about, which wants more words."""
    program, *words = shlex.split(line)
    if program == "greenhouse" and "--help" not in words:
        try:
            cli.app_for(words).parse_args(words, exit_on_error=False, print_error=False)
        except MissingArgumentError:
            return False
    elif program == "dvc":
        try:
            parse_args(words)
        except DvcParserError:
            return False
    return line != "python -m flows.stage"


def without_fences(page: str) -> str:
    return re.sub(r"^```.*?^```", "", page, flags=re.MULTILINE | re.DOTALL)


def code_lines(page: str) -> list[str]:
    """Indented lines of a page, without its fenced blocks."""
    return re.findall(r"^    (\S.*)$", without_fences(page), re.MULTILINE)


def test_lines_that_are_not_run_here_are_in_tests_that_exist() -> None:
    assert set(COVERED) <= set(command_lines())
    for line, test in COVERED.items():
        path, _, name = test.partition("::")
        wanted = f"def {name}(" if name else line.removesuffix(" --check")
        assert wanted in (ROOT / "tests" / path).read_text("utf-8"), line


def test_every_command_that_pages_show_is_taken_by_its_parser() -> None:
    """Of `greenhouse`, words that a verb does not take raise; of pip, which wants a network, the extra is looked up."""
    lines = [line for line in command_lines() if line.startswith(("greenhouse ", "python -m ", "pip "))]
    helped = [line.split("  ")[0] for line in DOCS["reference"].splitlines() if line.startswith("greenhouse ")]
    assert len(lines) > 50 < len(helped)
    lines += [line for line in helped if is_whole(line)]
    for words in map(shlex.split, lines):
        if words[0] == "python":
            assert importlib.util.find_spec(words[2]), words
        elif words[0] == "pip":
            folder, extra = re.fullmatch(r"([./\w]+?)(?:\[(\w+)\])?", words[-1]).groups()  # type: ignore[union-attr]
            project = tomllib.loads((ROOT / folder / "pyproject.toml").read_text("utf-8"))["project"]
            assert extra is None or extra in project["optional-dependencies"], words
        elif "--help" not in words:
            if words[1] == "run" and (settings := [word for word in words if re.match(r"[a-z_.]+=", word)]):
                form_of(settings).applied(schema.read(ROOT / "params.yaml"))  # an example had a key that is none
            cli.app_for(words[1:]).parse_args(words[1:], exit_on_error=False, print_error=False)


@pytest.fixture
def as_installed(finished_clone: PipelineClone) -> PipelineClone:
    """The finished clone with what `make` looks for: an environment that is newer than the pins."""
    binaries = finished_clone.root / ".venv/bin"
    if not binaries.exists():
        binaries.mkdir(parents=True)
        for name, module in (("python", ""), ("dvc", " -m dvc"), ("greenhouse", " -m flows.cli")):
            (binaries / name).write_text(f'#!/bin/sh\nexec {sys.executable}{module} "$@"\n')
            (binaries / name).chmod(0o755)
        (binaries / "activate").write_text(f"PATH={binaries}:$PATH\n")
    for name in ("installed", "installed-dev"):
        (finished_clone.root / ".venv" / name).touch()
    return finished_clone


@pytest.mark.pipeline
@pytest.mark.long
@pytest.mark.timeout(900)
def test_every_line_runs_as_written(as_installed: PipelineClone, tmp_path: Path) -> None:
    """In the order of the pages; `NAME` is the experiment that README's first experiment made."""
    clone, name = as_installed, "NAME"
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PREFECT_API_URL": clone.api, **LOGIN}
    (tmp_path / ".gitconfig").write_text("[user]\nname = test\nemail = test@localhost\n")  # `dvc exp apply` asks for it
    clone.git("init", "--bare", "--quiet", str(tmp_path / "origin"))
    clone.git("remote", "add", "origin", str(tmp_path / "origin"))
    clone.run("dvc", "remote", "add", "--local", "--default", "team", str(tmp_path / "team"))
    said, before = dict[str, str](), clone.outputs()
    with clone.edited("params.yaml"):
        for line in (line for line in command_lines() if line not in COVERED and not line.startswith("pip ")):
            command = line.replace("NAME", name).replace("my-experiment", name).replace("<stage>", "mix")
            command = command.replace("<this repository>", str(clone.root))
            params = (clone.root / "params.yaml").read_text()
            done = subprocess.run(
                ["bash", "-c", f". {clone.root}/.venv/bin/activate; {command}"],
                cwd=tmp_path if line.startswith("git clone") else clone.root, env=environment, text=True,
                capture_output=True, stdin=subprocess.DEVNULL,
            )  # fmt: skip
            assert done.returncode == 0, f"{line}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
            said[line] = done.stdout
            if line.startswith("greenhouse edit"):
                (clone.root / "params.yaml").write_text(params)
            if saved := re.search(r"saved as DVC experiment (\S+):", done.stdout):
                name = saved[1]
                assert clone.outputs() == before, "the workspace stays as it is"
    assert "finetune.instruct.steps: 6 -> 60" in said["greenhouse compare workspace NAME"]
    assert name in clone.run("dvc", "exp", "list")


LOAD = """
import hashlib, json, re
from pathlib import Path
import mlflow, torch
from contextlib import chdir, redirect_stdout
from io import StringIO
from safetensors import safe_open

def digest(tensors):
    parts = [name.encode() + tensors[name].numpy().tobytes() for name in sorted(tensors)]
    return hashlib.sha256(b"".join(parts)).hexdigest()

def of_folder(folder, name="model.safetensors"):
    with safe_open(Path(folder, name), "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}

def loaded(lines, folder):
    if "tfidf/" in lines:
        with chdir(folder):
            exec(lines, scope := {})
            assert scope["classify"](["a text"])[0] in json.load(open("tfidf/tfidf.json"))["labels"]
        found = {name: torch.from_numpy(array) for name, array in scope["arrays"].items()}
        assert digest(found) == digest(of_folder(folder, "tfidf/tfidf.safetensors")), lines
        return
    scope, expected = {}, of_folder(folder)
    exec(lines, scope)
    network = scope["model"] if isinstance(scope["model"], torch.nn.Module) else scope["model"].model
    found = {name: tensor for name, tensor in network.state_dict().items() if name in expected}
    assert digest(found) == digest(expected), lines

for lines, folder in json.load(open("lines.json")):
    loaded(lines, folder)
card = Path("reports/cards/finetune-instruct/README.md").read_text()
load, chat = re.findall("```python\\n(.*?)```", card, re.DOTALL)
with redirect_stdout(StringIO()) as said:
    exec(load + chat, {})
assert said.getvalue().strip() == re.sub("^# ", "", chat.partition("\\n# ")[2], flags=re.MULTILINE).strip()
count = 0
mlflow.set_tracking_uri("sqlite:///.greenhouse/mlflow.db")
for version in mlflow.MlflowClient().search_model_versions():
    files = Path(mlflow.artifacts.download_artifacts(version.source))
    cards = re.findall("```python\\n(.*?)```", (files / "README.md").read_text(), re.DOTALL)
    card = next(block for block in cards if "tfidf/" not in block)
    for lines in (version.description.partition("**load** ")[2], card):
        assert f"models:/{version.name}/{version.version}" in lines
        loaded(lines, files / "model")
        count += 1
print(count)
"""


@pytest.mark.pipeline
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_line_that_loads_a_model_loads_its_weights(finished_clone: PipelineClone, tmp_path: Path) -> None:
    """Of README, cards and MLflow, in a clean process: what it loads has the bytes of the model that it is about."""
    root, (_, _, after) = finished_clone.root, README.partition("The models load by alias")
    block = textwrap.dedent(next(part for part in after.split("\n\n") if part.startswith("    "))).splitlines()
    calls = [number for number, line in enumerate(block) if re.search(r"load_model\(|from_pretrained\(", line)]
    assert len(calls) == 2
    lines = [
        ["\n".join([*block[: calls[0]], f"model = {block[number]}"]), "models/pretrain/causal"] for number in calls
    ]
    (row,) = [line for line in README.splitlines() if line.startswith("| Can anyone load it?")]
    lines.append(["\n".join(re.findall("`([^`]+)`", row)[:2]), "models/finetune/instruct"])
    for card in sorted((root / "reports/cards").iterdir()):
        found = re.findall("```python\n(.*?)```", (card / "README.md").read_text(), re.DOTALL)
        loads = [block for block in found if "messages = " not in block]
        assert any("tfidf/" not in block for block in loads)
        lines += [[block, f"models/{card.name.replace('-', '/')}"] for block in loads]
    (root / "lines.json").write_text(json.dumps(lines))
    try:
        done = subprocess.run(
            [sys.executable, "-c", LOAD], cwd=root, env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
            capture_output=True, text=True,
        )  # fmt: skip
    finally:
        (root / "lines.json").unlink()
    assert done.returncode == 0, done.stderr[-4000:]
    assert int(done.stdout.split()[-1]) >= 8, "two lines of each of four models"
    assert not (root / "mlflow.db").exists()
    assert not (root / "mlruns").exists()


def test_numbers_outside_the_filled_tables_are_true() -> None:
    stages = [path for path in (ROOT / "components/stages").iterdir() if (path / "stage.py").exists()]
    assert len(stages) == 10
    assert f"{len(dvc.graph(ROOT))} stages" in README

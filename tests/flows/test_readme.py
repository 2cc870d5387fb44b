"""Every command line of README and docs, as written, in a clean process; long ones by the tests that are named here."""

import json
import os
import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from flows import cli
from flows.system import dvc
from tests.flows.pipeline_clone import LOGIN, ROOT, PipelineClone

README = (ROOT / "README.md").read_text("utf-8")
DOCS = {path.stem: path.read_text("utf-8") for path in sorted((ROOT / "docs").glob("*.md"))}
GENERATED = ("reference", "results")
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
        "flows/test_studies.py::test_a_study_is_recorded_point_by_point_and_read_back": (
            "greenhouse study labels",
            "greenhouse study mitigate",
        ),
        "flows/edit/test_rows.py::test_rows_are_shown_and_written": ("greenhouse edit rows rows.jsonl",),
        "flows/tracking/test_signed_folder.py::test_a_folder_is_made_checked_and_found_out": (
            "greenhouse export instruct --to signed --key KEY --out FOLDER",
            "greenhouse verify FOLDER --key KEY.pub",
        ),
        "flows/test_seeds.py::test_trainings_are_experiments_and_their_spread_is_the_noise_floor": (
            "greenhouse study seeds",
        ),
        "flows/test_data_choices.py::test_an_arm_that_differs_in_seeds_alone_gains_nothing": ("greenhouse study data",),
        "flows/test_promote.py::test_the_better_model_is_promoted_and_the_equal_one_is_not": ("greenhouse promote",),
        "flows/edit/test_text.py::test_a_file_changed_added_or_deleted_makes_ingest_stale": (
            "greenhouse run --data ~/my-texts",
            "greenhouse run --data ~/texts",
        ),
        "flows/edit/test_text.py::test_hub_ids_need_a_commit": ("greenhouse run --data owner/name@<commit>",),
        "flows/test_readme.py::test_lines_that_are_not_run_here_are_in_tests_that_exist": ("make test",),
        "flows/test_sync.py::test_a_fresh_clone_compares_what_another_made": (
            "greenhouse sync push",
            "greenhouse sync pull",
            "git push",
            "git pull",
            "dvc remote add --default team s3://bucket/greenhouse",
            'git add .dvc/config && git commit -m "DVC remote"',
            'git add dvc.lock params.yaml opt_out.txt forgotten.json withdrawn.json && git commit -m "what I changed"',
            "git clone URL greenhouse && cd greenhouse && make setup",
            "greenhouse compare HEAD~1 workspace",
        ),
        "components/studies/test_segments.py::test_a_forged_checkpoint_is_named": (
            "greenhouse verify causal --segments 27",
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
            "greenhouse adopt FOLDER",
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
"""Line -> the test that runs the command: it takes minutes, removes what others need, or wants a network."""
COMMAND = re.compile(r"(git|greenhouse|make|python -m|dvc|prefect|mlflow|\.) [\w./]")


def command_lines() -> list[str]:
    """Commands of README in its order, lines of code blocks and words between backticks; then code blocks of docs."""
    quoted = re.findall(r"`([^`\n]+)`", README)
    docs = [line for name, page in DOCS.items() if name not in GENERATED for line in code_lines(page)]
    lines = [re.split(r"   +|  +#", line)[0] for line in (*code_lines(README), *quoted, *docs)]
    return list(dict.fromkeys(line for line in lines if COMMAND.match(line)))


def code_lines(page: str) -> list[str]:
    """Indented lines of a page, without its fenced blocks."""
    return re.findall(r"^    (\S.*)$", re.sub(r"^```.*?^```", "", page, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)


def test_lines_that_are_not_run_here_are_in_tests_that_exist() -> None:
    assert set(COVERED) <= set(command_lines())
    for line, test in COVERED.items():
        path, name = test.split("::")
        assert f"def {name}(" in (ROOT / "tests" / path).read_text("utf-8"), line


def test_every_command_that_readme_shows_is_a_verb(capsys: pytest.CaptureFixture[str]) -> None:
    shown = [shlex.split(line)[1:] for line in command_lines() if line.startswith("greenhouse ")]
    assert len(shown) > 20
    for words in shown:
        verb = words[: 2 if words[0] in cli.BELOW else 1]
        options = [word for word in words if word.startswith("--")]
        assert cli.answer([*verb, "--help"]) == 0, words
        said = capsys.readouterr().out
        assert said.startswith(f"Usage: greenhouse {' '.join(verb)}")
        assert [option for option in options if f"  {option}" not in said] == [], words


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
    (finished_clone.root / ".venv/installed").touch()
    return finished_clone


@pytest.mark.pipeline
@pytest.mark.long
@pytest.mark.timeout(900)
def test_every_line_runs_as_written(as_installed: PipelineClone, tmp_path: Path) -> None:
    """In the order of the pages; `NAME` is the experiment that README's first experiment made."""
    clone, name = as_installed, "NAME"
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PREFECT_API_URL": clone.api, **LOGIN}
    (tmp_path / ".gitconfig").write_text("[user]\nname = test\nemail = test@localhost\n")  # `dvc exp apply` asks for it
    said, before = dict[str, str](), clone.outputs()
    with clone.edited("params.yaml"):
        for line in (line for line in command_lines() if line not in COVERED):
            command = line.replace("NAME", name).replace("my-experiment", name)
            command = command.replace("<this repository>", str(clone.root))
            done = subprocess.run(
                ["bash", "-c", f". {clone.root}/.venv/bin/activate; {command}"],
                cwd=tmp_path if line.startswith("git clone") else clone.root, env=environment, text=True,
                capture_output=True, stdin=subprocess.DEVNULL,
            )  # fmt: skip
            assert done.returncode == 0, f"{line}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
            said[line] = done.stdout
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

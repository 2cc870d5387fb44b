"""`greenhouse`: help that teaches and imports nothing heavy, and refusals of one sentence."""

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows import cli
from tests.errors import refused, shows

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"dvc", "mlflow", "polars", "prefect", "scipy", "sklearn", "torch", "transformers"}
HELP = """
import contextlib, io, json, os, sys
import components.params
from flows import cli

# Each in a process of its own, forked with what all of them import.
for line in json.loads(sys.argv[1]):
    if os.fork() == 0:
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            status = cli.answer([*line, "--help"])
        print(json.dumps([line, status, said.getvalue(), sorted(sys.modules)]), flush=True)
        os._exit(0)
    os.wait()
"""


def verbs() -> Iterator[list[str]]:
    """Words of every verb, those below another one among them."""
    for group in cli.VERBS.values():
        for verb in group:
            yield [verb]
            yield from ([verb, below] for below in cli.BELOW.get(verb, {}))


def ran(code: str, *arguments: str, cwd: Path = ROOT, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=cwd, env=more or None, capture_output=True, text=True
    )


def test_there_are_seventeen_verbs() -> None:
    assert len([line for line in verbs() if len(line) == 1]) == 17


@pytest.mark.slow
def test_help_teaches_and_starts_nothing() -> None:
    lines = list(verbs())
    done = ran(HELP, json.dumps(lines))
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line for line, *_ in rows] == lines, done.stderr
    for line, status, said, imported in rows:
        assert status == 0, said
        assert said.startswith(f"Usage: greenhouse {' '.join(line)}")
        assert len(said.split()) > 25, f"{line} says what it does"
        assert (len(line) == 1 and line[0] in cli.BELOW) or f"\ngreenhouse {' '.join(line)}" in said, (
            f"{line} has an example"
        )
        assert not HEAVY & set(imported), f"{line} imports it before its arguments are parsed"


def test_root_help_imports_no_module_of_a_verb() -> None:
    done = ran("import sys\nfrom flows import cli\ncli.answer(['--help'])\nprint(*sys.modules, file=sys.stderr)")
    imported = set(done.stderr.split())
    every = [*cli.VERBS.values(), *cli.BELOW.values()]
    functions = [function for group in every for function, _ in group.values()]
    assert not imported & {function.partition(":")[0] for function in functions if function}
    assert not imported & (HEAVY | {"components.params"})
    for verb in (line[0] for line in verbs()):
        assert f"\n  {verb}: " in done.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("nope", 'greenhouse: unknown command "nope"'),
        ("card instruct --att x", "card: unknown option: --att, did you mean --at?;"),
        ("chat --top-p 3", 'chat: invalid value "3.0" for --top-p, must be <= 1;'),
        ("chat --seed x", "chat: invalid value for --seed: x is no whole number;"),
        ("chat --temperature nan", 'chat: invalid value "nan" for --temperature, must be <= 100;'),
        ("chat --max-tokens 0", 'chat: invalid value "0" for --max-tokens, must be >= 1;'),
        (f"chat --seed {9**30}", f'chat: invalid value "{9**30}" for --seed, must be < 9223372036854775808;'),
        ("chat hello", "chat: hello: no argument of it takes that;"),
        ("export instruct --to onnx", 'export: invalid value "onnx" for --to, choose from: "hub", "gguf", "signed";'),
        ("compare", 'compare: command "compare" parameter A requires an argument;'),
        ("study noise", 'study: unknown command "noise", available commands: scaling, seeds, data;'),
    ],
)
def test_words_that_no_verb_takes_are_one_sentence(words: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.answer(words.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(says)
    assert err.count("\n") == 1
    assert err.endswith("--help` shows examples\n")


@pytest.mark.parametrize("gone", cli.GONE)
def test_what_was_taken_out_names_what_serves(gone: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.answer(gone.split()) == 2
    assert capsys.readouterr().err == f"greenhouse {gone} was taken out; use: greenhouse {cli.GONE[gone]}\n"


def test_completion_knows_verbs_and_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.answer(["--completion", "bash"]) == 0
    script = capsys.readouterr().out
    assert "compare" in script
    assert "--max-tokens" in script
    assert subprocess.run(["bash", "-n"], input=script, text=True).returncode == 0


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("chat --prompt ' '", ["chat.chat.1", "--prompt"]),  # before any model is loaded
        ("compare '' ''", ["compare.compare.1", "greenhouse compare workspace"]),
        ("cost --rate -3", ["cost.project", "--rate -3"]),
        ("cost --rate nan", ["cost.project", "--rate nan"]),
        ("cost --rate inf", ["cost.project", "--rate inf"]),
        ("cost --since 31.01.2026", ["costs.moment", "since 31.01.2026", "UTC"]),
        ("promote --override 'masked= '", ["_overrides_have_kinds_and_reasons.2", "override.masked"]),
        ("promote --override mask=y", ["_overrides_have_kinds_and_reasons.1", "override.mask", "causal, masked"]),
        ("run --until mix --only dedup", ["run.run.1", "--until", "--only"]),
        ("run --data x --dry-run", ["run.run.2", "--data", "--dry-run"]),
        ("run --only mix mix.seed=2", ["run.run.3", "--only"]),
        ("run --dry-run mix.seed=2", ["run.would_run", "--dry-run", "--only STAGE"]),
        ("run --only nope", ["require_stage", "--only nope", "ingest, dedup"]),
        ("run --preset nope", ["read_tree.1", "nope.yaml", "cpu-40min"]),
        ("study seeds runs=0", ["study_settings.2", "runs = 0"]),
        ("study seeds runs=-1", ["study_settings.2", "runs = -1"]),
        ("study seeds runs=51", ["study_settings.2", "runs = 51"]),
        ("verify . --at v1", ["verify.verify.1", "--at"]),
        ("verify causal --key KEY.pub", ["verify.verify.2", "--key", "--scope", "causal"]),
    ],
)
def test_a_line_that_means_nothing_is_refused_before_any_work(
    line: str, says: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for work in ("flows.run.run_from_terminal", "flows.verify.recovery.recover_records"):
        monkeypatch.setattr(work, lambda *_: pytest.fail("it began"))
    with refused(*says) as error:
        cli.answer(shlex.split(line))
    assert "Value error" not in str(error.value)


# -- the console script ------------------------------------------------------------------------------------------------

SCRIPT = f"#!{sys.executable}\nimport sys\nfrom flows.cli import main\nsys.exit(main())\n"


def started(script: Path, where: Path) -> subprocess.CompletedProcess[str]:
    """What the script of an installation of this checkout does in a folder."""
    script.write_text(SCRIPT)
    script.chmod(0o755)
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": str(script.parent)}
    return subprocess.run([script, "--help"], cwd=where, env=environment, capture_output=True, text=True)


def test_the_script_runs_the_code_of_the_checkout_of_the_current_folder(tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / "flows/system").mkdir(parents=True)
    (other / "docs").mkdir()
    (other / "flows/__init__.py").write_text("")
    (other / "flows/cli.py").write_text("import sys\ndef main():\n    print('the other', sys.argv[1:])\n")
    for folder in (other, other / "docs"):
        assert started(tmp_path / "greenhouse", folder).stdout == "the other ['--help']\n"
    assert started(tmp_path / "greenhouse", ROOT / "docs").stdout.startswith("Usage: greenhouse COMMAND")
    outside = started(tmp_path / "greenhouse", tmp_path)
    assert outside.returncode == 1
    shows(outside.stderr, "enter_checkout", f"greenhouse: {tmp_path}")
    assert outside.stderr.count("\n") == 1

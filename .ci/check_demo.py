"""Checks what `make demo` left, then that a second one finds nothing to do. Run by .ci/run, in a clone."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from flows.system.environment import environment
from flows.system.paths import ROOT

SECOND_DEMO_S = 60.0
HOME_FOLDERS = (".prefect", ".mlflow", ".dvc", ".cache/huggingface", ".cache/matplotlib", ".cache/dvc", ".cache/torch",
                ".config/dvc", ".config/matplotlib", ".config/prefect", ".config/mlflow")  # fmt: skip


def run(*command: str) -> str:
    """Output of a command that must succeed."""
    done = subprocess.run(
        command, cwd=ROOT, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{' '.join(command)} exited {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def check_summary() -> None:
    from flows.system.dvc import graph

    summary = json.loads((ROOT / "reports" / "summary.json").read_text())
    stages = [stage for stage in graph() if stage != "account"]
    for part, found in (("metrics", summary["metrics"]), ("cost.stages", summary["cost"]["stages"])):
        missing = [stage for stage in stages if stage not in found]
        assert not missing, f"reports/summary.json: {part} lacks {missing}"


def check_clean() -> None:
    status = run(sys.executable, "-m", "dvc", "status")
    assert "up to date" in status, f"dvc status is not clean:\n{status}"
    changed = run("git", "status", "--porcelain").splitlines()
    # dvc.lock is not shipped: a user's first run really computes.
    assert changed == ["?? dvc.lock"], f"the demo changed or left other files that git sees than dvc.lock: {changed}"


def check_home(since: float) -> None:
    home = Path(os.environ["HOME"])
    written = [name for name in HOME_FOLDERS if (home / name).exists() and (home / name).stat().st_mtime > since]
    assert not written, f"written to the home folder: {written}"


def check_second_demo() -> None:
    before, started = (ROOT / "dvc.lock").read_bytes(), time.monotonic()
    print(run("make", "demo"))
    seconds = time.monotonic() - started
    assert (ROOT / "dvc.lock").read_bytes() == before, "the second demo changed dvc.lock"
    assert seconds < SECOND_DEMO_S, f"the second demo took {seconds:.0f} s; it has nothing to do"
    print(f"second demo: {seconds:.1f} s")


def check_processes() -> None:
    import psutil

    ours = {psutil.Process().pid, *(parent.pid for parent in psutil.Process().parents())}
    left = []
    for process in psutil.process_iter(["pid", "exe", "cmdline"]):
        words = process.info["cmdline"] or []
        if process.pid not in ours and words and words[0].startswith(str(ROOT / ".venv")):
            left.append(" ".join(words)[:100])
    assert not left, f"still running: {left}"


def check_chat() -> None:
    asked = ("--prompt", "What does numpy.mean do?", "--max-tokens", "24")
    answer = run(sys.executable, "-m", "flows.cli", "chat", *asked)
    assert answer.strip(), "the model says nothing"
    print(answer)


def main() -> None:
    since = float(sys.argv[1])  # Unix seconds at which the demo started: tests may leave what they like at home
    for check in (check_summary, check_clean, check_second_demo, check_clean, check_chat, check_processes):
        check()
        print(f"ok: {check.__name__.removeprefix('check_')}", flush=True)
    check_home(since)
    print("ok: home")


if __name__ == "__main__":
    main()

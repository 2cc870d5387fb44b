"""What comes before any command: the code of the right checkout, and one sentence for a command line of before.

Standard library only: the Makefile starts it where nothing is installed.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parents[2]
STUDIES = {"scaling": "scaling", "seeds": "seeds", "label_efficiency": "labels", "mitigate": "mitigate"}
STAGES = ("ingest", "dedup", "filter", "bias", "mix", "tokenize", "pretrain", "finetune", "evaluate")
UNCHANGED = ("card", "chat", "clean", "compare", "export", "forget", "plan", "promote", "run", "trace", "up", "verify")
NOW = {
    "pipeline": "run", "configure": "edit", "finetune_data": "edit rows", "why": "plan --why", "account": "cost",
    "attest": "export --to signed", "team": "sync", "gc": "clean --unused", "purge": "clean --all",
    **{name: f"study {verb}" for name, verb in STUDIES.items()},
    **{name: f"run --only {name}" for name in STAGES}, **{name: name for name in UNCHANGED},
}  # fmt: skip
"""What was `python -m flows.NAME` or `make NAME` -> the verb that does it."""


def refuse_line_of_before(line: Sequence[str]) -> None:
    """End with the new line, status 2, where this process was started as `python -m flows.NAME` of a verb."""
    module = line[line.index("-m") + 1] if "-m" in line[:-1] else ""
    if module.startswith("flows.") and (verb := NOW.get(module.removeprefix("flows."))):
        say_new_line(module, verb)


def say_new_line(old: str, verb: str) -> NoReturn:
    """End with the sentence that names the verb."""
    print(f"{old}: this is `greenhouse {verb}` now; `greenhouse {verb.split()[0]} --help` shows how", file=sys.stderr)
    sys.exit(2)


def enter_checkout(line: Sequence[str]) -> None:
    """Have the console script run the code of the checkout that holds the current folder, not where it is installed.

    Args:
        line: of this process, interpreter first: a worker of a pool has the `sys.argv` of its parent.
    """
    if len(line) < 2 or Path(line[1]).name != "greenhouse":
        return
    here = Path.cwd()
    root = next((folder for folder in (here, *here.parents) if (folder / "flows/cli.py").is_file()), None)
    if root is None:
        sys.exit(f"greenhouse: {here} is in no checkout of Greenhouse; change into one, or clone the project")
    if root.resolve() != ROOT:
        code = f"import sys; sys.path.insert(0, {str(root)!r}); from flows.cli import main; main()"
        os.execv(sys.executable, [sys.executable, "-c", code, *sys.argv[1:]])


if __name__ == "__main__":  # the Makefile's targets of before
    say_new_line(f"make {sys.argv[1]}", NOW[sys.argv[1]])

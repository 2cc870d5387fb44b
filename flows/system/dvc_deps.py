"""Code deps of dvc.yaml, generated: all that a stage's function imports, in whole folders where it needs all of one.

    python -m flows.system.dvc_deps             shows what differs from the import graph, and exits 1 if anything does
    python -m flows.system.dvc_deps --write     writes it

A stage NAME begins at components/stages/NAME/stage.py; what it needs takes the place of the lines of its deps that
begin with components/ or recorder/. A stage without that file is left alone. components/params/ is no dep: DVC watches
the values in params.yaml instead.
"""

import ast
import difflib
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = "components/params/"
RECORDER = Path("recorder/greenhouse_record")
"""The recorder's package, which components import: the folder of its wheel is on their path."""
_STAGE = re.compile(r"^  (\w+):$")
_CODE = re.compile(r"^ +- (components|recorder)/\S*$")


def main() -> int:
    """Write dvc.yaml, or show what would change in it; the exit code says whether something would."""
    path = ROOT / "dvc.yaml"
    text = path.read_text(encoding="utf-8")
    new = with_code(text, ROOT)
    if "--write" in sys.argv[1:]:
        path.write_text(new, encoding="utf-8")
        return 0
    old_lines, new_lines = (version.splitlines(keepends=True) for version in (text, new))
    sys.stdout.writelines(difflib.unified_diff(old_lines, new_lines, "dvc.yaml", "generated"))
    return int(new != text)


def with_code(text: str, root: Path) -> str:
    """The text of dvc.yaml with the code of each stage's deps as the import graph has it; all else as it is."""
    lines: list[str] = []
    stage, written = "", set[str]()
    for line in text.splitlines(keepends=True):
        if match := _STAGE.match(line):
            stage = match[1]
        if not _CODE.match(line) or not _entry(stage, root).exists():
            lines.append(line)
        elif stage not in written:
            written.add(stage)
            indent = line[: line.index("-")]
            lines += [f"{indent}- {dep}\n" for dep in code(stage, root)]
    return "".join(lines)


def code(stage: str, root: Path) -> list[str]:
    """Files and folders below components/ and recorder/ that a stage needs, sorted, relative to the root."""
    needed, todo = set[Path](), [_entry(stage, root)]
    while todo:
        if (path := todo.pop()) not in needed and not path.relative_to(root).as_posix().startswith(SCHEMA):
            needed.add(path)
            todo += _imported(path, root)
    folders = (folder for folder in (root / "components", root / RECORDER) if folder.exists())
    return [path.relative_to(root).as_posix() for folder in folders for path in _joined(folder, needed)]


def _entry(stage: str, root: Path) -> Path:
    return root / "components/stages" / stage / "stage.py"


@cache
def _imported(path: Path, root: Path) -> set[Path]:
    """Modules below components/ and recorder/ that a file imports, anywhere in it; packages' `__init__.py` left out."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    ours = (name for name in names if name.partition(".")[0] in ("components", RECORDER.name))
    files = {root / name.replace(".", "/").replace(RECORDER.name, str(RECORDER)) for name in ours}
    return {file.with_suffix(".py") for file in files if file.with_suffix(".py").exists()}


def _joined(folder: Path, needed: set[Path]) -> Iterator[Path]:
    """The needed modules below a folder, sorted; a folder that holds no others as one, and data beside a module."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith(("__", ".")):
            continue
        modules = {path} if path.suffix == ".py" else set(_modules(path))
        is_data = not modules and any(module.parent == folder for module in needed)
        if is_data or (modules and modules <= needed):
            yield path
        elif modules & needed:
            yield from _joined(path, needed)


def _modules(folder: Path) -> Iterator[Path]:
    """Modules in a folder and below; packages' `__init__.py` left out."""
    return (path for path in folder.rglob("*.py") if path.name != "__init__.py")


if __name__ == "__main__":
    sys.exit(main())

"""Code deps of dvc.yaml: fresh in this checkout, and those of the import graph in a small one."""

from pathlib import Path

import pytest
import yaml

from flows.system import dvc_deps

ROOT = Path(__file__).resolve().parents[3]
SMALL = """\
stages:
  one:
    cmd: run one  # stays
    deps:
      - data/in  # stays
      - components/gone
      - components/stages/gone.py
    outs: [data/one]

  many:
    foreach: [a, b]
    do:
      cmd: run ${item}
      deps:
        - components/gone
        - data/one
  other:
    cmd: run other
    deps:
      - components/gone
"""
FILES = {
    "stages/one/__init__.py": "",
    "stages/one/stage.py": "from components.shared import table\nimport components.params.keys\nfrom . import near",
    "stages/one/unused.py": "",
    "stages/one/words.csv": "",
    "stages/many/stage.py": "import components.whole.top\ndef late():\n    from components.whole.inner import deep",
    "shared/__init__.py": "from components.whole import top",
    "shared/table.py": "import os\nfrom components.stages.one import stage",
    "shared/unused.py": "",
    "params/keys.py": "import components.whole.top",
    "whole/top.py": "",
    "whole/notes.json": "",
    "whole/inner/deep.py": "",
    "whole/__pycache__/top.cpython-311.pyc": "",
}


def test_this_checkout_is_fresh() -> None:
    text = (ROOT / "dvc.yaml").read_text()
    assert dvc_deps.with_code(text, ROOT) == text, "run `python -m flows.system.dvc_deps --write`"
    for name, stage in yaml.safe_load(text)["stages"].items():
        assert any(f"components/stages/{name}/stage.py".startswith(dep) for dep in stage.get("do", stage)["deps"]), name


@pytest.fixture
def small(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / "components" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "dvc.yaml").write_text(SMALL)
    return tmp_path


def test_deps_are_what_a_stage_imports_in_whole_folders_where_it_needs_all(small: Path) -> None:
    text = dvc_deps.with_code(SMALL, small)
    stages = yaml.safe_load(text)["stages"]
    # Not the package's own imports, not the schema's; data that lies beside a module, but of a whole folder no file.
    one = ["components/shared/table.py", "components/stages/one/stage.py", "components/stages/one/words.csv"]
    assert stages["one"]["deps"] == ["data/in", *one]
    assert stages["many"]["do"]["deps"] == ["components/stages/many", "components/whole", "data/one"]
    assert stages["other"]["deps"] == ["components/gone"], "it has no function in components/stages/"
    assert "    cmd: run one  # stays\n" in text
    assert "      - data/in  # stays\n" in text
    assert dvc_deps.with_code(text, small) == text


def test_it_shows_what_differs_and_writes_on_demand(
    small: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(dvc_deps, "ROOT", small)
    monkeypatch.setattr("sys.argv", ["dvc_deps"])
    assert dvc_deps.main() == 1
    assert "\n+      - components/stages/one/stage.py\n" in capsys.readouterr().out
    assert (small / "dvc.yaml").read_text() == SMALL
    monkeypatch.setattr("sys.argv", ["dvc_deps", "--write"])
    assert dvc_deps.main() == 0
    monkeypatch.setattr("sys.argv", ["dvc_deps"])
    assert dvc_deps.main() == 0
    assert capsys.readouterr().out == ""

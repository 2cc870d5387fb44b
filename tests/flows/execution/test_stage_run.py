"""A real stage process: what it imports before its outputs are in place, and what it leaves for others."""

import json
import os
from pathlib import Path

import pytest

from tests.flows.pipeline_clone import PipelineClone

pytestmark = [pytest.mark.pipeline, pytest.mark.slow, pytest.mark.timeout(600)]

WATCHED = """
import os, sys

def seen(event, arguments):
    if event == "import" and arguments[0] in ("prefect", "mlflow"):
        line = "import " + arguments[0]
    elif event == "os.rename" and str(arguments[1]).endswith("/result.json"):
        line = "result"
    else:
        return
    file = os.open(os.environ["SEEN"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, (line + "\\n").encode())
    os.close(file)

if "flows.stage" in sys.orig_argv:
    sys.addaudithook(seen)
"""
"""sitecustomize.py: what a stage's process imports, and when it leaves its result."""


def seen(clone: PipelineClone, folder: Path, **more: str) -> list[str]:
    """What a stage's process does, in its order."""
    file = folder / f"seen-{len(list(folder.iterdir()))}"
    places = os.pathsep.join([str(folder), str(clone.root)])
    clone.run("dvc", "repro", "--force", "ingest", PYTHONPATH=places, SEEN=str(file), **more)
    return list(dict.fromkeys(file.read_text().splitlines()))


def test_a_stage_imports_neither_prefect_nor_mlflow_before_its_outputs_are_in_place(
    migrated_clone: PipelineClone, tmp_path: Path
) -> None:
    folder = tmp_path / "watch"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(WATCHED)
    assert seen(migrated_clone, folder) == ["result", "import mlflow"]  # nobody else records a plain `dvc repro`
    assert seen(migrated_clone, folder, GREENHOUSE_RUN="calm-otter") == ["result"]
    left = migrated_clone.root / ".greenhouse/runs/calm-otter/ingest"
    assert json.loads((left / "result.json").read_text())["name"] == "Completed"
    assert (left / "kept/reports/ingest/details/report.md").exists()
    events = [json.loads(line) for line in (left / "events.jsonl").read_text().splitlines()]
    assert events[0]["kind"] == "begin"
    assert {"progress", "phase"} <= {event["kind"] for event in events}
    assert "data/ingest/heldout" in migrated_clone.outputs()

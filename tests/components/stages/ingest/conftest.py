"""What the tests of ingest share."""

from pathlib import Path

import pytest


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """An empty folder of one's own files."""
    folder = tmp_path / "mine"
    folder.mkdir()
    return folder

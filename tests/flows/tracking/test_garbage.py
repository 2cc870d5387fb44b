"""What `gc` removes of MLflow's models."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock, call

import pytest

from flows.tracking.garbage import model_item

VERSION = SimpleNamespace(name="greenhouse-causal-2", version="3", aliases=["champion"])


@pytest.mark.parametrize("place", ["checkout", "elsewhere"])
def test_a_copy_of_a_model_goes_where_it_is_the_checkouts_own(
    tmp_path: Path, checkout_at: Callable[[Path], Path], place: str
) -> None:
    checkout_at(tmp_path / "checkout")
    folder = tmp_path / place / ".greenhouse" / "mlartifacts" / "a model"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"12345")
    client = Mock(spec=["delete_model_version", "delete_logged_model"])  # of MLflow
    item = model_item(client, SimpleNamespace(model_id="m-1", artifact_location=folder.as_uri()), VERSION)
    item.remove()
    assert client.mock_calls == [call.delete_model_version("greenhouse-causal-2", "3"), call.delete_logged_model("m-1")]
    own = place == "checkout"
    assert folder.exists() == (not own)
    assert item.num_bytes == (5 if own else 0)
    assert item.label == "MLflow: greenhouse-causal-2 version 3, its champion" + (
        "" if own else f" (its copy, {folder}, is outside of this checkout and stays)"
    )

"""What `gc` removes of MLflow's models."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from flows.tracking.garbage import model_item

VERSION = SimpleNamespace(name="greenhouse-causal-2", version="3")


class Client:
    """Stands for MLflow: notes what is deleted."""

    def __init__(self) -> None:
        self.deleted: list[str] = []

    def delete_model_version(self, name: str, version: str) -> None:
        self.deleted.append(f"{name} {version}")

    def delete_logged_model(self, model_id: str) -> None:
        self.deleted.append(model_id)


@pytest.mark.parametrize("place", ["checkout", "elsewhere"])
def test_a_copy_of_a_model_goes_where_it_is_the_checkouts_own(
    tmp_path: Path, checkout_at: Callable[[Path], Path], place: str
) -> None:
    checkout_at(tmp_path / "checkout")
    folder = tmp_path / place / ".greenhouse" / "mlartifacts" / "a model"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"12345")
    client = Client()
    item = model_item(client, SimpleNamespace(model_id="m-1", artifact_location=folder.as_uri()), VERSION)
    item.remove()
    assert client.deleted == ["greenhouse-causal-2 3", "m-1"]
    own = place == "checkout"
    assert folder.exists() == (not own)
    assert item.num_bytes == (5 if own else 0)
    assert item.what == "MLflow: greenhouse-causal-2 version 3" + (
        "" if own else f" (its copy, {folder}, is outside of this checkout and stays)"
    )

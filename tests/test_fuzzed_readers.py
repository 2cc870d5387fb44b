"""Any bytes in any file that is read: a result or the documented error, no other exception."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.core.errors import UserError
from tests.readable_files import READERS, other_bytes, readable

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 9), st.sampled_from([1e999, -(10**30), 1e-9]), st.text(max_size=5)
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
)
PIECES = [b"\0", b"\xff\xfe", b'"', b"\n", b"{", b"[" * 20_000, b"9" * 5000, b"\\ud800", b"2026-13-45", b"&a [*a]",
          b"!!python/x:y", b"-", b": "]  # fmt: skip
BYTES = st.binary(max_size=8) | st.sampled_from(PIECES)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return readable(tmp_path_factory.mktemp("world"))


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """Any bytes; or the file with some of them replaced; or, where it holds a tree, with a branch replaced."""
    kind = draw(st.sampled_from(["bytes", "edits", "edits", "tree", "tree"]))
    if kind == "bytes":
        return draw(st.binary(max_size=200))
    if kind == "tree":
        lines = whole.split(b"\n") if whole.count(b"\n{") else [whole]
        number = draw(st.integers(0, len(lines) - 1))
        try:
            lines[number] = json.dumps(changed(draw, yaml.safe_load(lines[number]))).encode()
            return b"\n".join(lines)
        except (yaml.YAMLError, UnicodeDecodeError):
            pass
    for _ in range(draw(st.integers(1, 3))):
        begin = draw(st.integers(0, len(whole)))
        whole = whole[:begin] + draw(BYTES) + whole[begin + draw(st.integers(0, 30)) :]
    return whole[: draw(st.integers(0, len(whole)))] if draw(st.booleans()) else whole


def changed(draw: st.DrawFn, value: Any) -> Any:
    """A tree with one branch replaced or taken out."""
    if not isinstance(value, dict | list) or not value or draw(st.integers(0, 4)) == 0:
        return draw(VALUES)
    copy = value.copy()
    key = draw(st.sampled_from(list(value) if isinstance(value, dict) else range(len(value))))
    if draw(st.integers(0, 4)) == 0:
        del copy[key]
    else:
        copy[key] = changed(draw, value[key])
    return copy


@pytest.mark.parametrize("examples", [25, pytest.param(2000, marks=pytest.mark.long)])
@pytest.mark.parametrize("name", READERS)
def test_any_bytes_give_a_result_or_a_sentence(world: Path, name: str, examples: int) -> None:
    whole = (world / name).read_bytes()

    @settings(max_examples=examples, derandomize=True, deadline=None, database=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(damaged(whole))
    def check(data: bytes) -> None:
        try:
            other_bytes(world / name, data, READERS[name])
        except UserError as error:
            assert len(str(error).splitlines()) == 1  # noqa: PT017

    check()

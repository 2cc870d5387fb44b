"""What strangers give besides text ends in a result or one sentence: every family of tests/hostile_inputs.py."""

from pathlib import Path

import pytest

from tests.hostile_inputs import INPUTS, outcome
from tests.readable_files import readable


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return readable(tmp_path_factory.mktemp("readable"))


@pytest.mark.parametrize("family", INPUTS)
def test_every_input_ends_in_a_result_or_a_sentence(root: Path, family: str) -> None:
    wrong = {}
    for variant, call in INPUTS[family].items():
        try:
            outcome(call, root)
        except Exception as error:
            wrong[variant] = f"{type(error).__name__}: {error}"[:300]
    assert wrong == {}

"""Products are in bfloat16 where the processor has them, and in float32, with a sentence, where it does not."""

import pytest
import torch

from components.params import Numerics
from components.training import muon
from components.training import numerics as floats


@pytest.mark.parametrize("has", [True, False])
def test_products_have_the_type_that_the_processor_has(monkeypatch: pytest.MonkeyPatch, has: bool) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: has)
    half, whole = Numerics(), Numerics(dtype="float32")
    expected = torch.bfloat16 if has else torch.float32
    a = torch.ones(4, 4)
    with floats.autocast(half):
        assert (a @ a).dtype == expected
    with floats.autocast(whole):
        assert (a @ a).dtype == torch.float32
    assert muon.orthogonalised(torch.eye(4)[None]).dtype == expected
    assert ("computed in float32" in floats.replaced(half)) == (not has)
    assert floats.replaced(whole) == ""


def test_a_gpu_has_them() -> None:
    assert floats.product_dtype("cuda") == torch.bfloat16
    assert floats.product_dtype("cuda", "float32") == torch.float32

"""Which parameters learn at which rate."""

import pytest
import torch

from components.params import Optimizer
from components.training import optimizer
from tests.components.model.test_transformer import network


@pytest.mark.parametrize("name", ["muon", "adamw"])
def test_matrices_of_the_blocks_have_their_own_rate_under_both_optimizers(name: str) -> None:
    model = network()
    built = optimizer.build(model, Optimizer(name=name, matrix_lr=0.02, embedding_lr=0.01, weight_decay=0.1))
    found = {
        id(parameter): (group["lr"], group["weight_decay"])
        for one in built.optimizers for group in one.param_groups for parameter in group["params"]
    }  # fmt: skip
    for parameter_name, parameter in model.named_parameters():
        is_matrix = "layers." in parameter_name and parameter.ndim == 2
        decay = 0.1 if is_matrix or (name == "adamw" and parameter.ndim == 2) else 0.0
        assert found[id(parameter)] == (0.02 if is_matrix else 0.01, decay), parameter_name


def test_loaded_state_lies_where_torchs_own_load_puts_it() -> None:
    """A GPU's fused AdamW refuses a count of steps that came back on the CPU."""
    state = {"step": torch.ones(()), "exp_avg": torch.ones(3), "exp_avg_sq": torch.ones(3)}
    ours, theirs = (torch.optim.AdamW([torch.nn.Parameter(torch.zeros(3, device="meta"))]) for _ in range(2))
    for one in (ours, theirs):
        one.param_groups[0]["fused"] = True  # which torch refuses to build for a device that is not there
    saved = theirs.state_dict()
    theirs.load_state_dict(saved | {"state": {0: state}})
    names = {ours.param_groups[0]["params"][0]: "x"}
    optimizer.Optimizers([ours], names).load_state({f"x/{field}": tensor for field, tensor in state.items()})

    def devices(one: torch.optim.Optimizer) -> dict[str, str]:
        (fields,) = one.state.values()
        return {name: tensor.device.type for name, tensor in fields.items()}

    assert devices(ours) == devices(theirs) == dict.fromkeys(state, "meta")

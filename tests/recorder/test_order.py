"""The computed order for strangers: a sampler that resumes, and the documents of a step."""

import numpy as np
import pytest
from torch.utils.data import DataLoader

from greenhouse_record.order import Order, Sampler


def test_an_epoch_has_each_item_once_and_the_next_another_order() -> None:
    items = list(Sampler(100, seed=3, epochs=2))
    assert sorted(items[:100]) == sorted(items[100:]) == list(range(100))
    assert items[:100] != items[100:]
    assert list(Sampler(100, seed=3)) == items[:100], "once, unless more is asked for"


@pytest.mark.parametrize("first", [0, 37, 150])
def test_a_resumed_loader_goes_on_where_it_stopped(first: int) -> None:
    whole, resumed = (Sampler(100, seed=3, first=begin, epochs=2) for begin in (0, first))
    read = [int(i) for batch in DataLoader(list(range(100)), batch_size=10, sampler=resumed) for i in batch]
    assert read == list(whole)[first:]
    assert len(resumed) == 200 - first


def test_ranks_take_turns() -> None:
    ranks = [list(Sampler(90, seed=3, rank=rank, world=3)) for rank in range(3)]
    assert [item for turn in zip(*ranks, strict=True) for item in turn] == list(Sampler(90, seed=3))


def test_documents_of_a_step_are_those_whose_tokens_its_windows_read() -> None:
    lengths = np.random.default_rng(1).integers(1, 30, 500)
    ends = np.cumsum(lengths)
    of_token = np.repeat(np.arange(500), lengths)
    order = Order(int(ends[-1]), context=16, batch=5, seed=9)
    for step in range(100):
        assert order.starts(step).shape == (5,)
        for start, documents in zip(order.starts(step), order.documents(step, ends - lengths), strict=True):
            assert sorted(set(of_token[start : start + 16])) == list(documents)

"""The data order is a permutation, each epoch has its own, and a batch depends on its number alone."""

import threading
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from components.tokens.shards import TokenShards
from components.training.ahead import Ahead
from components.training.data_order import pretrain_batches
from greenhouse_record.order import described, permuted, phases_of
from tests.components.small_corpus import write_tokens
from tests.errors import refused


@given(size=st.integers(1, 700), seed=st.integers(0, 2**63))
def test_every_index_goes_to_a_place_of_its_own(size: int, seed: int) -> None:
    assert sorted(permuted(index, size, seed) for index in range(size)) == list(range(size))


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> TokenShards:
    return TokenShards.open(write_tokens(tmp_path_factory.mktemp("tokens")) / "train")


@pytest.mark.parametrize("mask_rate", [None, 0.3])
def test_a_batch_is_a_function_of_its_number(shards: TokenShards, mask_rate: float | None) -> None:
    def batches(seed: int = 1):
        return pretrain_batches(shards, context=64, batch=4, seed=seed, mask_rate=mask_rate, document_mask=False)

    straight = [batches()(number) for number in range(5)]
    assert (batches()(4).ids_BT == straight[4].ids_BT).all()
    assert (batches()(4).targets == straight[4].targets).all()
    assert not (batches(2)(4).ids_BT == straight[4].ids_BT).all()


@pytest.mark.parametrize("mask_rate", [None, 0.3])
def test_each_process_reads_its_own_windows_alone(
    shards: TokenShards, mask_rate: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: dict[str, Any] = {"context": 64, "batch": 5, "seed": 1, "mask_rate": mask_rate, "document_mask": True}
    batches, read, window = pretrain_batches(shards, **settings), list[int](), TokenShards.window
    whole = batches(3)

    def noted(self: TokenShards, start: int, length: int) -> Any:
        read.append(start)
        return window(self, start, length)

    monkeypatch.setattr(TokenShards, "window", noted)
    parts = [replace(batches, rank=rank, ranks=3)(3) for rank in range(3)]
    assert len(read) == len(set(read)) == 5
    for name in ("ids_BT", "targets", "documents_BT"):
        assert torch.equal(torch.cat([getattr(one, name) for one in parts]), getattr(whole, name))


def test_the_next_batch_is_made_while_one_is_used() -> None:
    made, begun, threads = list[int](), threading.Event(), list[str]()

    def batches(number: int) -> Any:
        made.append(number)
        if number == 8:
            begun.set()
        return number

    ahead = Ahead(batches, lambda: threads.append(threading.current_thread().name))
    assert [ahead(number) for number in (0, 1, 2, 7)] == [0, 1, 2, 7], "2 is followed by one that was not begun"
    assert begun.wait(10)
    assert made == [0, 1, 2, 3, 7, 8]
    assert threads == ["batches_0"]


def test_a_text_shorter_than_a_window_is_refused(shards: TokenShards) -> None:
    with refused("data_order.pretrain_batches", shards.num_tokens, "context"):
        pretrain_batches(shards, context=shards.num_tokens, batch=1, seed=1, mask_rate=None, document_mask=False)
    # One token more than the context is one whole window: its ids, and what follows each.
    batches = pretrain_batches(
        shards, context=shards.num_tokens - 1, batch=1, seed=1, mask_rate=None, document_mask=False
    )
    assert batches(0).ids_BT.shape == (1, shards.num_tokens - 1)


def test_windows_grow_and_every_step_has_as_many_tokens(shards: TokenShards) -> None:
    batches = pretrain_batches(
        shards, context=64, batch=4, seed=1, mask_rate=None, document_mask=False, steps=10, length_warmup=0.6
    )
    shapes = [tuple(batches(number).ids_BT.shape) for number in range(12)]
    assert shapes == [(16, 16)] * 3 + [(8, 32)] * 3 + [(4, 64)] * 6
    firsts = [batches(number).ids_BT[:, :16].tolist() for number in (0, 3, 6)]
    assert not any(row in other for row in firsts[0] for other in firsts[1:]), "each length has an order of its own"


@pytest.mark.parametrize(
    ("context", "steps", "said"),
    [
        (128, 100, "16 tokens (steps 1 to 20), 32 (21 to 40), 64 (41 to 60), 128 (61 to 100)"),
        (100, 10, "25 tokens (steps 1 to 3), 50 (4 to 6), 100 (7 to 10)"),
        (17, 10, "17 tokens (steps 1 to 10)"),
        (64, 1, "64 tokens (steps 1 to 1)"),
    ],
)
def test_the_last_steps_have_whole_windows(context: int, steps: int, said: str) -> None:
    assert described(phases_of(context, 4, 1, steps, 0.6), steps) == said

"""How often a token was trained on, counted from the order, against replaying every batch."""

from pathlib import Path

import numpy as np
import pytest

from components.lineage.exposure import Training, times_seen
from components.tokens.shards import TokenShards, TokenWriter
from components.training.data_order import pretrain_batches
from greenhouse_record.order import phase_of


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("warmup", [0.0, 0.6])
@pytest.mark.parametrize(("steps", "skipped"), [(0, ()), (3, ()), (40, ()), (40, (0, 5, 17)), (7, (6, 7))])
def test_the_count_is_that_of_a_replay(
    causal: bool, warmup: float, steps: int, skipped: tuple[int, ...], tmp_path: Path
) -> None:
    """The loader's own windows, over a corpus whose n-th token is n."""
    run = Training(1003, 64, 5, 9, steps, causal, skipped, warmup)
    with TokenWriter(tmp_path / "tokens", 4096, "", ["numbers"]) as writer:
        one = np.array([1003], np.int64)
        writer.add_shard(np.arange(1003, dtype=np.uint32), one, np.zeros(1, np.int64), one)
    shards = TokenShards.open(tmp_path / "tokens")
    mask_rate = None if causal else 0.2
    batches = pretrain_batches(
        shards, context=64, batch=5, seed=9, mask_rate=mask_rate, document_mask=False, steps=steps, length_warmup=warmup
    )
    assert batches.phases == run.phases
    assert len(run.phases) == (3 if warmup else 1)
    replayed = np.zeros(run.num_tokens, dtype=np.int64)
    done = number = 0
    while done < steps:
        if number not in skipped:
            phase = phase_of(batches.phases, number)
            for sample in phase.samples(number):
                replayed[batches.windows(phase).window(sample)[int(causal) :]] += 1
            done += 1
        number += 1
    counted = times_seen(run, 0, run.num_tokens)
    assert counted.tolist() == replayed.tolist()
    assert counted.sum() == steps * 5 * 64, "all tokens that were read"
    for start, end in ((0, 1), (15, 49), (500, 501), (990, 1003)):
        assert times_seen(run, start, end).tolist() == replayed[start:end].tolist()


def test_the_order_follows_from_what_a_model_records() -> None:
    known = {"tokens": 12 * 4 * 64, "steps": 12, "context": 64, "seed": 7, "skipped_batches": [3]}
    run = Training.of({"training": known}, 5000, causal=False)
    assert (run.batch, run.context, run.batches) == (4, 64, [0, 1, 2, *range(4, 13)])
    assert len(run.phases) == 1
    warmup = {"length_warmup": 0.5, "length_warmup_from": 32}
    assert [phase.context for phase in Training.of({"training": known | warmup}, 5000, causal=True).phases] == [32, 64]

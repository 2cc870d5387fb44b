"""What each objective predicts."""

import numpy as np
import torch

from components.tokens.tokenizer import MASK
from components.training import objectives
from components.training.objectives import IGNORE

WINDOWS = np.random.default_rng(1).integers(6, 300, (3, 41))
WINDOWS[0, [0, 12]] = 0


def test_causal_predicts_the_next_token_and_numbers_documents() -> None:
    batch = objectives.causal(WINDOWS, document_mask=True)
    assert (batch.ids_BT[:, 1:] == batch.targets[:, :-1]).all()
    assert batch.num_targets == 3 * 40
    assert batch.documents_BT[0].tolist() == [1] * 12 + [2] * 28


def test_masked_hides_its_share_of_ordinary_tokens_and_asks_for_them() -> None:
    batch = objectives.masked(WINDOWS, [4, 5, 6], seed=1, mask_rate=0.3)
    hidden = batch.ids_BT == MASK
    assert hidden.sum(1).tolist() == [round(0.3 * 39), round(0.3 * 41), round(0.3 * 41)]
    assert (batch.targets[hidden] == torch.from_numpy(WINDOWS)[hidden]).all()
    assert (batch.targets[~hidden] == IGNORE).all()
    assert not hidden[0, [0, 12]].any()

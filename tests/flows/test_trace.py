"""`greenhouse trace`: in a clone that has run, a text leads to its documents and to the models that saw it."""

import json
import re

import pytest

from tests.flows.pipeline_clone import PipelineClone

pytestmark = [pytest.mark.pipeline]

FIRST_TRAINED = """
import numpy as np
from flows.system import paths
from flows.tracking.model_exposure import models
from components.corpus.corpus import read_corpus
from components.tokens.shards import TokenShards
from components.training.data_order import PretrainBatches
run = models()[0].training
shards = TokenShards.open(paths.ROOT / "data/tokenize/train")
order = PretrainBatches(shards, run.phases, None, False).windows(run.phases[0])
ids, step = order.window(0), order.context  # the first sample of the first batch
starts, text = shards.document_starts(), list(read_corpus(paths.ROOT / "data/mix/train"))
at = next(w for w in range(order.count) if (shards.window(w * step, order.length) == ids).all()) * step
print(text[int(np.searchsorted(starts, at, side="right")) - 1].id)
"""


def test_a_text_leads_to_the_models_that_saw_it(finished_clone: PipelineClone) -> None:
    trained = finished_clone.run_code(FIRST_TRAINED)
    said = finished_clone.run("greenhouse", "trace", trained)
    assert re.search(r"licence \S+ \(read from: \w", said)
    assert re.search(r"tokenize +train +tokens-00000\.bin, tokens \d+ to \d+", said)
    lines = [line.strip() for line in said.splitlines()]  # one per model; other tests have made models of their own
    (causal,) = [line for line in lines if line.startswith("causal (") and "workspace" in line]
    assert "@champion" in causal
    assert "each trained on" in causal
    found = json.loads(finished_clone.run("greenhouse", "trace", trained, "--json"))["documents"][0]
    assert found["facts"]["id"] == trained.split("-")[0]
    seen = {one["branch"]: one for one in found["models"] if "workspace" in one.get("model", "")}
    assert set(seen) == {"causal", "masked"}
    assert seen["causal"]["most"] >= 1


def test_nothing_found_says_so(finished_clone: PipelineClone) -> None:
    said = finished_clone.run("greenhouse", "trace", "words that were written by nobody anywhere at any time", expect=2)
    assert "No document has this passage" in said

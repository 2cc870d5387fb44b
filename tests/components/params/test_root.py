"""The presets, and the tests' own overlay, build their models and take a step; a bad value is named with its limit."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from components import params as schema
from components.model.shape import derive_shape
from components.model.transformer import Transformer
from components.params import layout
from components.training import objectives, optimizer
from tests.errors import refuses

ROOT = Path(__file__).resolve().parents[3]
PRESETS = {path.stem: [path] for path in [*sorted((ROOT / "presets").glob("*.yaml")), ROOT / "tests" / "small.yaml"]}
"""Name -> what overlays params.yaml."""
EFFECTIVE = {
    "default": "8b58571e36478410",
    "small": "5f7be13d3946c2e0",
    "gpu-124m": "5e7d931f6163ab35",
    "overnight-cpu": "85401d03f0a378ce",
    "cpu-40min": "b8be38b0e65d0778",
}
"""Name -> SHA-256 of its effective values as JSON: a change of layout changes none of them. A value that is changed on
purpose changes its digest here."""
LARGE = dict.fromkeys(("gpu-124m", "overnight-cpu"), pytest.mark.long)
"""Presets of models whose step takes half a minute."""
TOKENS = 24
"""Of the reduced step: one short sequence instead of a batch."""


@pytest.mark.parametrize("name", EFFECTIVE)
def test_effective_values_are_those_of_ever(name: str) -> None:
    values = schema.load(ROOT / "params.yaml", *PRESETS.get(name, [])).model_dump(mode="json")
    assert hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16] == EFFECTIVE[name]


def test_the_presets_the_readme_names_ship() -> None:
    assert set(PRESETS) | {"default"} == set(EFFECTIVE)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_names_only_keys_that_differ(name: str) -> None:
    keys, preset = layout.file_keys(), layout.leaves(schema.read_tree(*PRESETS[name]))
    shared = {key: next(place for place in layout.shared_places(key) if place in keys) for key in preset}
    assert not [key for key, value in preset.items() if keys[shared[key]].value == value]


@pytest.mark.slow  # a step of the largest takes seconds
@pytest.mark.parametrize("name", [pytest.param(name, marks=LARGE.get(name, ())) for name in EFFECTIVE])
@pytest.mark.parametrize("branch", ["causal", "masked"])
def test_a_preset_takes_a_step(name: str, branch: str) -> None:
    params = schema.load(ROOT / "params.yaml", *PRESETS.get(name, []))
    settings = getattr(params.pretrain, branch)
    shape = derive_shape(settings.model, params.tokenize.vocab_size, settings.context, causal=branch == "causal")
    model = Transformer(shape).initialise(settings.seed)
    ids = np.random.default_rng(1).integers(10, params.tokenize.vocab_size, (1, TOKENS + 1))
    if branch == "causal":
        batch = objectives.causal(ids, settings.document_mask)
    else:
        batch = objectives.masked(ids, [0], settings.seed, settings.mask_rate)
    optimizers = optimizer.build(model, settings.optimizer)
    losses = []
    for _ in range(2):
        loss = objectives.language_model_loss(model, batch) / batch.num_targets
        loss.backward()
        optimizers.step(0.1)
        losses.append(loss.item())
    assert np.isfinite(losses).all()
    assert losses[1] < losses[0]


LENGTHS, PATTERN = "FilterRules._some_length_is_left", "section.matching.checked"
SOURCES, GROUPS = "Params._settings_per_source_name_sources", "Mix._weighted_groups_are_known"


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ({"dedup": {"threshold": 7}}, ["root.parse", "dedup.threshold = 7", "less than or equal to 1"]),
        ({"ingest": {"sources": []}}, ["Ingest._sources_make_sense.1", "ingest"]),
        ({"filter": {"per_source": {"a": {"min_wrds": 1}}}}, ["root.parse", "a.min_wrds = 1", "unknown key"]),
        ({"filter": {"per_source": {"a": {"min_words": -1}}}}, ["root.parse", "per_source.a.min_words = -1", "to 0"]),
        ({"filter": {"limits": {"min_words": 5}, "per_source": {"a": {"max_words": 2}}}}, [LENGTHS, "per_source.a"]),
        ({"filter": {"per_source": {"mine": {"min_words": 1}}}}, [SOURCES, "filter.per_source.mine", "shakespeare"]),
        ({"mix": {"weights": {"shakspeare": 2}}}, [SOURCES, "mix.weights.shakspeare", "python-docs, shakespeare"]),
        ({"runtime": {"engine": "spark"}}, ["root.parse", "runtime.engine", "local", "ray"]),
        ({"runtime": {"engine": "ray", "work_path": "shared"}}, ["Runtime._same_everywhere", "runtime.work_path"]),
        ({"evaluate": {"tasks": ["a.yaml"]}}, ["Params._evaluation_sets_are_looked_for", "evaluate.tasks = a.yaml"]),
        ({"evaluate": {"tasks": ["arc"]}}, [PATTERN, "evaluate.tasks.0 = 'arc'", "`arc_easy@`"]),
        ({"account": {"licence": "MIT (c)"}}, [PATTERN, "account.licence = 'MIT (c)'", "SPDX"]),
        ({"ingest": {"sources": [{"kind": "hub", "name": "a b", "dataset": "x"}]}}, [PATTERN, "name = 'a b'"]),
        ({"mix": {"group_weights": {"wimmin": 2}}}, [GROUPS, "mix", "group_weights.wimmin", "women, men"]),
        ({"finetune": {"prefer": {"base": "models/finetune/instruct"}}}, ["Prefer._has_data", "data: data/mix/train"]),
        (
            {"promote": {"rules": {"mask": {"primary": "bits"}}}},
            ["Promote._kinds_exist", "rules.mask", "causal, masked"],
        ),
        (
            {"filter": {"redact": ["mail"]}},
            ["root.parse", "filter.redact.0 = 'mail'", "'phonenumbers' or 'detect-secrets'"],
        ),
        ({"numerics": {"threads": 1000}}, ["root.parse", "numerics.threads = 1000", "less than or equal to 512"]),
    ],
)
def test_a_bad_value_is_named_with_its_limit(raw: dict, says: list[str]) -> None:
    refuses(lambda: schema.parse(raw, "params.yaml"), *says, "params.yaml")


def test_runtime_is_no_identity() -> None:
    one, other = schema.parse({}), schema.parse({"runtime": {"workers": 1, "budget": {"grams": 3}}})
    assert one.identity() == other.identity()
    assert one.identity() != schema.parse({"numerics": {"threads": 2}}).identity()

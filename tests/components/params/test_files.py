"""params.yaml shows what people set, defaults.yaml every key; what is cut, empty or misspelt is refused by name."""

from pathlib import Path

import pytest
import yaml
from ruamel.yaml import YAML

from components import params as schema
from components.core.errors import UserError
from components.params import document, layout, yaml_text
from components.params.mix import IDENTITY_GROUPS
from components.text.identity_terms import GROUPS
from tests.errors import code_of, refused, refuses

ROOT = Path(__file__).resolve().parents[3]
MOST_KEYS, MOST_SHOWN = 130, 40
PARAMS, DEFAULTS = document.params_text(), document.defaults_text()
SIZE, CAUSAL = "      size: 2 ", "  causal: {}  # Next-token prediction."


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """The path of a params.yaml as it ships, with its defaults.yaml."""
    (tmp_path / "defaults.yaml").write_text(DEFAULTS)
    (tmp_path / "params.yaml").write_text(PARAMS)
    return tmp_path / "params.yaml"


def test_both_files_are_as_the_schema_has_them() -> None:
    """A default that changes changes defaults.yaml, and with it the stages that read the key."""
    told = "run `greenhouse edit defaults` and commit the file"
    assert (ROOT / "defaults.yaml").read_text() == DEFAULTS, told
    assert (ROOT / "params.yaml").read_text() == PARAMS, "`greenhouse edit preset default` writes it"
    assert schema.load(ROOT / "params.yaml") == schema.Params()


def test_params_yaml_is_short_and_every_key_is_documented() -> None:
    keys = {key: one for key, one in layout.file_keys().items() if not one.section}
    assert len(keys) <= MOST_KEYS
    assert len(layout.SHOWN) <= MOST_SHOWN
    assert layout.leaves(yaml.safe_load(PARAMS)).keys() - {"pretrain.causal", "pretrain.masked"} == set(layout.SHOWN)
    defaults = layout.leaves(yaml.safe_load(DEFAULTS))
    assert {key for key in defaults if not key.startswith("ingest.source_defaults")} == keys.keys()
    assert not [key for key, one in layout.file_keys().items() if not one.description]


def test_branches_of_finetuning_share_their_settings(files: Path) -> None:
    files.write_text(
        PARAMS.replace("  steps: 100 ", "  steps: 60 ").replace("  instruct: ", "  instruct:\n    batch: 4\n    # ")
    )
    tuned = schema.load(files).finetune
    assert (tuned.classify.steps, tuned.prefer.steps) == (60, 60)
    assert (tuned.instruct.batch, tuned.classify.batch) == (4, 16)
    own = tuned.classify.max_pairs, tuned.prefer.learning_rate, tuned.instruct.steps
    assert own == (256, 1e-4, 2000), "what a branch has of its own"


LACKS, FAULT = "params.files.ParamFiles._refuse_missing", "params.files.ParamFiles.params"
LENGTHS, WARMUP = "FilterRules._some_length_is_left", "Optimizer._rises_before_it_falls"


def test_a_file_cut_at_any_line_is_refused(files: Path) -> None:
    lines = PARAMS.splitlines(keepends=True)
    for number in [*range(0, len(lines), 12), len(lines) - 1]:
        files.write_text("".join(lines[:number]))
        with pytest.raises(UserError) as error:
            schema.load(files)
        assert "\n" not in str(error.value)
        assert code_of(error.value) in (LACKS, FAULT) or number < 8, str(error.value)


@pytest.mark.parametrize("value", [0.0, 0.3, 1e-3, 1e-7, 2.5e-9, 1e9, 2.5e11, 123456789012.25, 1e16, 3.7e22, -4e9])
def test_a_float_is_read_back_by_every_reader(value: float) -> None:
    for reader in (yaml.safe_load, YAML(typ="safe").load):
        read = reader(f"key: {document.number(value)}\n")["key"]
        assert isinstance(read, float)
        assert read == value
    assert [document.number(one) for one in (2.5e11, 1e12)] == ["2.5e+11", "1.0e+12"]


def test_words_that_pyyaml_takes_for_booleans_are_read_as_dvc_reads_them(files: Path) -> None:
    text = "[off, On, yes, NO, y, true, False, null, 1, 0.5, offer]"
    assert yaml_text.load(text) == YAML(typ="safe").load(text) != yaml.safe_load(text)
    files.write_text(PARAMS.replace("  rules: loose ", "  rules: off "))
    assert schema.load(files).filter.rules == "off"


EMPTY = (LACKS, "ingest.sources", "more")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", EMPTY),
        ("# nothing\n", EMPTY),
        ("{}\n", EMPTY),
        ("null\n", EMPTY),
        ("- 1\n", ("parse_tree.3", "list")),
        ("dedup: [\n", ("parse_tree.1", "line 2")),
        (None, ("read_tree.1", "`greenhouse edit preset default`")),
    ],
)
def test_a_file_that_is_empty_or_no_mapping_is_refused_in_one_sentence(
    files: Path, text: str | None, says: tuple[str, ...]
) -> None:
    files.unlink()
    if text is not None:
        files.write_text(text)
    refuses(lambda: schema.load(files), *says, files)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("  threshold: 0.7 ", "  # ", [LACKS, "params.yaml: dedup.threshold", "`dedup.threshold: 0.7`"]),
        ("  threshold: 0.7 ", "  treshold: 0.7 ", [FAULT, "dedup.treshold", "unknown key"]),
        ("  near: true ", "  bands: many\n  near: true ", [FAULT, "params.yaml: dedup.bands = 'many'", "integer"]),
        ("    steps: ", "    steps: many ", [FAULT, "params.yaml: pretrain.common.steps = 'many'", "integer"]),
        (SIZE, "      size: many ", [FAULT, "params.yaml: pretrain.common.model.size = 'many'", "integer"]),
        (CAUSAL, "  causal: {steps: 0}", [FAULT, "pretrain.causal.steps = 0", "greater than or equal to 1"]),
        (CAUSAL, "  causal: {stepz: 5}", [FAULT, "pretrain.causal.stepz", "unknown key"]),
        (CAUSAL, "  causal: {optimizer: {matrix_lr: .inf}}", [FAULT, "optimizer.matrix_lr = inf", "finite"]),
        (CAUSAL, "  causal: {optimizer: {schedule: wsd, warmup: 0.9}}", [WARMUP, "causal.optimizer", "warmup 0.9"]),
        ("  rules: loose ", "  rules: strict ", [FAULT, "filter.rules = 'strict'", "'gopher'"]),
        ("  limits: {}", "  limits: {min_words: -5}", [FAULT, "filter.limits.min_words = -5"]),
        ("  limits: {}", "  limits: {min_wordz: 5}", [FAULT, "filter.limits.min_wordz", "unknown key"]),
        ("  limits: {}", "  limits: {min_words: 5, max_words: 4}", [LENGTHS, "filter.limits", "min_words 5", 4]),
        ("    name: python-docs", "    nam: python-docs", [FAULT, "ingest.sources.0", "unknown key"]),
    ],
)
def test_a_fault_is_named_where_it_stands(files: Path, old: str, new: str, says: list[str]) -> None:
    assert old in PARAMS
    files.write_text(PARAMS.replace(old, new, 1))
    with refused(*says) as error:
        schema.load(files)
    assert "more)" not in str(error.value), "a shared key is one fault"


def test_an_edited_defaults_yaml_is_refused(files: Path) -> None:
    """It changes nothing but what DVC takes for stale."""
    path = files.with_name("defaults.yaml")
    for text in (DEFAULTS.replace("  bands: 32 ", "  bands: 16 "), ""):
        path.write_text(text)
        with refused("params.files.read", path):
            schema.load(files)
    path.unlink()
    refuses(lambda: schema.load(files), "params.files.read", path)


def test_a_key_that_stands_twice_is_refused_with_both_lines(files: Path) -> None:
    shipped = {"    context: 256 ": "pretrain.common.context", "    name: python-docs": "ingest.sources.0.name"}
    for old, twice in shipped.items():
        at = PARAMS[: PARAMS.index(old)].count("\n") + 1
        files.write_text(PARAMS.replace(old, f"{old.split(':')[0]}: 7\n{old}", 1))
        with refused("params.files._refuse_twice", f"{files} line {at + 1}: {twice}", f"line {at}"):
            schema.load(files)


def test_a_branch_overrides_a_shared_key_for_itself_alone(files: Path) -> None:
    files.write_text(PARAMS.replace(CAUSAL, "  causal: {steps: 9, optimizer: {grad_clip: 2.0}}"))
    causal, masked = schema.load(files).pretrain.causal, schema.load(files).pretrain.masked
    shipped = schema.Params().pretrain.causal
    assert (causal.steps, causal.optimizer.grad_clip) == (9, 2.0)
    assert causal.optimizer.model_copy(update={"grad_clip": 1.0}) == shipped.optimizer
    assert masked == schema.Params().pretrain.masked


def test_a_mapping_that_a_user_fills_is_replaced_whole(files: Path) -> None:
    files.write_text(PARAMS.replace("  weights: {}", "  weights: {shakespeare: 2.0}"))
    read = schema.read(files)
    assert read.overlaid({"mix": {"weights": {"python-docs": 3.0}}}).params().mix.weights == {"python-docs": 3.0}
    assert read.overlaid({"mix": {"weights": {}}}).params().mix.weights == {}


def test_the_groups_that_mix_weighs_are_those_of_the_lexicon() -> None:
    assert IDENTITY_GROUPS == GROUPS

"""params.yaml and defaults.yaml hold every key once, documented; what is cut, empty or misspelt is refused by name."""

import re
from pathlib import Path

import pytest
import yaml
from ruamel.yaml import YAML

from components import params as schema
from components.core.errors import UserError
from components.params import document, layout
from components.params import files as params_files
from components.params.mix import IDENTITY_GROUPS
from components.text.identity_terms import GROUPS

ROOT = Path(__file__).resolve().parents[3]
MOST_KEYS = 150
PARAMS, DEFAULTS = document.params_text(), document.defaults_text()
LINEAR = """schedule: linear  # Learning rate over time: warmup-stable-decay, cosine, or linear to zero.
      warmup: 0.02"""
CAUSAL = "  causal:  # Next-token prediction."
SHIPPED = schema.Params().model_dump(mode="json")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """The path of a params.yaml as it ships, with its defaults.yaml."""
    (tmp_path / "defaults.yaml").write_text(DEFAULTS)
    (tmp_path / "params.yaml").write_text(PARAMS)
    return tmp_path / "params.yaml"


def test_both_files_are_as_the_schema_has_them() -> None:
    """A default that changes changes defaults.yaml, and with it the stages that read the key."""
    told = "run `python -m flows.configure --defaults` and commit the file"
    assert (ROOT / "defaults.yaml").read_text() == DEFAULTS, told
    assert (ROOT / "params.yaml").read_text() == PARAMS, "`python -m flows.configure --preset default` writes it"
    assert schema.load(ROOT / "params.yaml") == schema.Params()


def test_params_yaml_is_short_and_every_key_is_documented() -> None:
    own, defaults = layout.leaves(yaml.safe_load(PARAMS)), layout.leaves(yaml.safe_load(DEFAULTS))
    assert len(own) + sum(len(source) for source in own["ingest.sources"]) <= MOST_KEYS
    assert not own.keys() & defaults.keys()
    assert own.keys() | defaults.keys() == {key for key, one in layout.file_keys().items() if not one.section}
    undocumented = [key for key, one in layout.file_keys().items() if not one.description]
    assert not undocumented
    sources = PARAMS.index("  - kind"), PARAMS.index("  watch:")
    rules = PARAMS.index("    causal:\n"), PARAMS.index("numerics:")  # entries of a map that users fill
    documented = PARAMS[: sources[0]] + PARAMS[sources[1] : rules[0]] + PARAMS[rules[1] :]
    lines = (documented + DEFAULTS).splitlines()
    keys = [line for line in lines if line and not line.startswith("#") and not line.lstrip().startswith("- ")]
    assert not [line for line in keys if "  # " not in line]


def test_every_key_of_the_schema_stands_in_a_file() -> None:
    assert layout.leaves(layout.resolved(layout.overlaid(yaml.safe_load(DEFAULTS), yaml.safe_load(PARAMS)))) == (
        layout.leaves(SHIPPED)
    )


def test_a_file_cut_at_any_line_is_refused(files: Path) -> None:
    lines = PARAMS.splitlines(keepends=True)
    for number in [*range(0, len(lines), 12), len(lines) - 1]:
        files.write_text("".join(lines[:number]))
        with pytest.raises(UserError) as error:
            schema.load(files)
        assert "\n" not in str(error.value)
        assert re.search("missing|should be a valid|should have at least|must rise", str(error.value)) or number < 8, (
            str(error.value)
        )


@pytest.mark.parametrize("value", [0.0, 0.3, 1e-3, 1e-7, 2.5e-9, 1e9, 2.5e11, 123456789012.25, 1e16, 3.7e22, -4e9])
def test_a_float_is_read_back_by_every_reader(value: float) -> None:
    for reader in (yaml.safe_load, YAML(typ="safe").load):
        read = reader(f"key: {document.number(value)}\n")["key"]
        assert isinstance(read, float)
        assert read == value
    assert [document.number(one) for one in (2.5e11, 1e12)] == ["2.5e+11", "1.0e+12"]


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}\n", "null\n"])
def test_an_empty_file_is_refused_in_one_sentence(files: Path, text: str) -> None:
    files.write_text(text)
    with pytest.raises(UserError, match=r"params\.yaml: ingest\.sources is missing \(and \d+ more\): the file is cut"):
        schema.load(files)


@pytest.mark.parametrize(
    ("name", "old", "new", "says"),
    [
        (
            "params.yaml",
            "  ngram: 5 ",
            "  # ",
            ["params.yaml: dedup.ngram is missing", "add `dedup.ngram: 5`", "--preset"],
        ),
        ("defaults.yaml", "  bands: 32 ", "  # ", ["defaults.yaml: dedup.bands is missing", "--defaults"]),
        ("params.yaml", "  threshold: 0.7 ", "  treshold: 0.7 ", ["dedup.treshold", "unknown key"]),
        ("defaults.yaml", "  bands: 32 ", "  bands: many ", ["defaults.yaml: dedup.bands = 'many'", "integer"]),
        (
            "params.yaml",
            "    steps: 900 ",
            "    steps: many ",
            ["params.yaml: pretrain.common.steps = 'many'", "integer"],
        ),
        (
            "params.yaml",
            CAUSAL,
            f"{CAUSAL}\n    steps: 0",
            ["pretrain.causal.steps = 0", "greater than or equal to 1"],
        ),
        ("params.yaml", CAUSAL, f"{CAUSAL}\n    stepz: 5", ["pretrain.causal.stepz", "unknown key"]),
        (
            "params.yaml",
            f"{CAUSAL}\n    model:  # Shape of the network.\n      tied: false",
            f"{CAUSAL}\n    # ",
            ["pretrain.causal.model.tied is missing", "add `pretrain.causal.model.tied: false`"],
        ),
        ("params.yaml", "matrix_lr: 0.02 ", "matrix_lr: .inf ", ["optimizer.matrix_lr = inf", "finite"]),
        (
            "params.yaml",
            LINEAR,
            LINEAR.replace("linear", "wsd").replace("0.02", "0.9"),
            ["pretrain.common.optimizer", "warmup 0.9 and decay 0.6"],
        ),
        ("params.yaml", "min_words: 5 ", "min_words: -5 ", ["filter.rules.min_words = -5"]),
        (
            "params.yaml",
            "max_words: 200000 ",
            "max_words: 4 ",
            ["filter.rules", "min_words 5 is more than max_words 4"],
        ),
        ("params.yaml", "    name: python-docs", "    nam: python-docs", ["ingest.sources.0", "unknown key"]),
    ],
)
def test_a_fault_is_named_where_it_stands(files: Path, name: str, old: str, new: str, says: list[str]) -> None:
    path = files.with_name(name)
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(UserError) as error:
        schema.load(files)
    assert all(word in str(error.value) for word in says), str(error.value)
    assert "more)" not in str(error.value), "a shared key is one fault"


@pytest.mark.parametrize(("text", "says"), [("- 1\n", "holds a list"), ("dedup: [\n", "line 2: not valid YAML")])
def test_what_is_no_mapping_is_refused(files: Path, text: str, says: str) -> None:
    files.write_text(text)
    with pytest.raises(UserError, match=says):
        schema.load(files)
    files.unlink()
    with pytest.raises(UserError, match="no such file; put it back"):
        schema.load(files)


def test_a_key_that_stands_twice_is_refused_with_both_lines(files: Path) -> None:
    shipped = {"    steps: 900 ": "pretrain.common.steps", "    name: python-docs": "ingest.sources.0.name"}
    for old, twice in shipped.items():
        at = PARAMS[: PARAMS.index(old)].count("\n") + 1
        files.write_text(PARAMS.replace(old, f"{old.split(':')[0]}: 7\n{old}", 1))
        with pytest.raises(UserError) as error:
            schema.load(files)
        assert str(error.value) == (
            f"{files} line {at + 1}: {twice} stands on line {at} already; remove one of the two"
        )


def test_a_merge_may_bring_in_a_key_again(tmp_path: Path) -> None:
    text = "a:\n  one: &one {k: 1, l: 2}\n  two: &two\n    <<: *one\n    k: 3\nb: {<<: *two, l: 4}\nc: *two\n"
    assert params_files.parse_tree(text, tmp_path, "") == yaml.safe_load(text)


def test_an_advanced_key_written_in_params_yaml_wins(files: Path) -> None:
    files.write_text(PARAMS.replace("dedup:  # Remove duplicates.\n", "dedup:\n  bands: 16\n"))
    assert schema.load(files).dedup.bands == 16


def test_a_branch_overrides_a_shared_key_for_itself_alone(files: Path) -> None:
    files.write_text(PARAMS.replace(CAUSAL, f"{CAUSAL}\n    steps: 9\n    optimizer: {{grad_clip: 2.0}}"))
    causal, masked = schema.load(files).pretrain.causal, schema.load(files).pretrain.masked
    shipped = schema.Params().pretrain.causal
    assert (causal.steps, causal.optimizer.grad_clip) == (9, 2.0)
    assert causal.optimizer.model_copy(update={"grad_clip": 1.0}) == shipped.optimizer
    assert masked == schema.Params().pretrain.masked


def test_a_source_gets_the_defaults_of_its_kind(files: Path) -> None:
    path = files.with_name("defaults.yaml")
    path.write_text(path.read_text().replace("licence: NOASSERTION", "licence: MIT"))
    source = {"kind": "files", "name": "mine", "path": "/texts"}
    changed = schema.read(files).overlaid({"ingest": {"sources": [source]}}).params().ingest.sources[0]
    assert changed == schema.Files(name="mine", path="/texts", licence="MIT")


def test_a_mapping_that_a_user_fills_is_replaced_whole(files: Path) -> None:
    files.write_text(PARAMS.replace("  weights: {}", "  weights: {shakespeare: 2.0}"))
    read = schema.read(files)
    assert read.overlaid({"mix": {"weights": {"python-docs": 3.0}}}).params().mix.weights == {"python-docs": 3.0}
    assert read.overlaid({"mix": {"weights": {}}}).params().mix.weights == {}


def test_effective_values_of_a_stage_are_what_the_schema_has() -> None:
    own, defaults = yaml.safe_load(PARAMS), yaml.safe_load(DEFAULTS)
    read = {
        "params.yaml": {key: layout.value_at(own, key) for key in ("pretrain.common", "pretrain.masked", "numerics")},
        "defaults.yaml": {key: layout.value_at(defaults, key) for key in ("pretrain.common", "numerics")},
    }
    assert layout.effective(read) == {"numerics": SHIPPED["numerics"], "pretrain.masked": SHIPPED["pretrain"]["masked"]}
    read = {"defaults.yaml": {"ingest": defaults["ingest"]}, "params.yaml": {"ingest": own["ingest"]}}
    assert layout.effective(read) == {"ingest": SHIPPED["ingest"]}


def test_the_groups_that_mix_weighs_are_those_of_the_lexicon() -> None:
    assert IDENTITY_GROUPS == GROUPS

"""`greenhouse run --data ...`: params.yaml points at one's own text, once, in place, and back."""

import gzip
import json
import os
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components import params as schema
from components.core.errors import UserError
from components.params import document, layout
from components.text.opening import OpenFile
from flows.edit import preset
from flows.edit import text as subject
from flows.planning import inspect_text
from flows.planning.first_fields import field_lengths
from flows.system import params_file, paths
from flows.system.paths import ROOT
from tests.components.carbon.planning.test_step_cost_table import RATES
from tests.errors import refused, refuses
from tests.flows.pipeline_clone import PipelineClone, write_params

GERMAN = "Die Würde des Menschen ist unantastbar. Sie zu achten und zu schützen ist Verpflichtung aller Gewalt. "
ENGLISH = "All human beings are born free and equal in dignity and rights, and reason is what they are given. "
JAPANESE = "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。"


def look(data: str) -> inspect_text.OwnText:
    """What is found with the limits that ship."""
    return inspect_text.inspect(data, schema.Ingest())


@pytest.fixture
def params_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A params.yaml of our own, as shipped."""
    (tmp_path / "checkout").mkdir()
    monkeypatch.setattr(paths, "PARAMS", write_params(tmp_path / "checkout"))
    return paths.PARAMS


@pytest.fixture
def english(tmp_path: Path) -> Path:
    """5 MB of English prose in a few text files, from the documentation of installed packages."""
    import numpy

    words = "\n\n".join(text for value in vars(numpy).values() if isinstance(text := value.__doc__, str))
    (folder := tmp_path / "My texts (2026)").mkdir()
    for number in range(5_000_000 // len(words.encode()) + 1):
        (folder / f"{number}.txt").write_text(words)
    return folder


def configure(data: object, step_s: float = 0.19) -> str:
    """On a machine where a training step takes so long: the real calibration is tested in test_rates.py."""
    rates = replace(RATES, step_s=step_s)
    return subject.configure(str(data), lambda params: {"causal": rates, "masked": rates})


def test_a_folder_of_text(params_yaml: Path, english: Path) -> None:
    before = params_yaml.read_text()
    said = configure(english)
    params = schema.load(params_yaml)
    (source,) = params.ingest.sources
    assert isinstance(source, schema.Files)
    assert (source.name, source.path, source.max_megabytes) == ("my-texts-2026", str(english), 0.0)
    assert params.ingest.watch == str(english)
    assert params.filter.limits == {}
    assert "+++ params.yaml" in said
    kept = [line for line in before.splitlines() if "#" in line]
    comments = {line.split("#", 1)[1] for line in params_yaml.read_text().splitlines() if "#" in line}
    assert sum(line.split("#", 1)[1] in comments for line in kept) == len(kept)


def test_again_changes_nothing_and_the_first_params_yaml_is_kept(
    params_yaml: Path, english: Path, tmp_path: Path
) -> None:
    params_yaml.write_bytes(before := params_yaml.read_bytes() + b"# mine\r\n")
    back = "params.yaml as it was is in params.yaml.before; `mv params.yaml.before params.yaml` goes back"
    assert configure(english).endswith(back)
    configured = params_yaml.read_text()
    assert "nothing changed" in configure(english)
    assert params_yaml.read_text() == configured
    other = tmp_path / "other.md"
    other.write_text("Some words in English that say nothing at all. " * 2000)
    configure(other)
    assert str(other) in params_yaml.read_text()
    assert params_file.before(params_yaml).read_bytes() == before


def test_another_text_is_planned_as_if_there_had_been_none(params_yaml: Path, english: Path, tmp_path: Path) -> None:
    """From what a small German text left, an English one would get its vocabulary, and rules that are off."""
    configure(english)
    wanted = params_yaml.read_text()
    params_file.before(params_yaml).rename(params_yaml)
    (small := tmp_path / "small.txt").write_text(GERMAN * 300)
    configure(small)
    configure(english)
    assert params_yaml.read_text() == wanted
    mine = params_file.edited(wanted, {"dedup.threshold": 0.8})
    params_yaml.write_text(mine)
    configure(small)
    configure(english)
    assert params_yaml.read_text() == mine, "what the user changed since stays"
    configure(small)
    for kept in (".before", ".planned"):  # a clone has neither
        params_yaml.with_name(params_yaml.name + kept).unlink()
    configure(english)
    assert params_yaml.read_text() == mine


def test_what_a_preset_sets_follows_from_the_text_again_and_what_a_person_sets_stays(
    params_yaml: Path, english: Path, tmp_path: Path
) -> None:
    configure(english)
    wanted = schema.load(params_yaml).pretrain.causal
    params_file.before(params_yaml).rename(params_yaml)
    params_yaml.with_name("params.yaml.planned").unlink()
    of_preset = {"pretrain.common.steps": 8000, "pretrain.common.eval_every": 1000}
    params_yaml.write_text(params_file.edited(params_yaml.read_text(), of_preset))
    assert "stays" not in configure(english)
    assert schema.load(params_yaml).pretrain.causal == wanted
    params_yaml.write_text(params_file.edited(params_yaml.read_text(), {"pretrain.common.steps": 450}))
    (small := tmp_path / "small.txt").write_text(GERMAN * 300)
    said, causal = configure(small), schema.load(params_yaml).pretrain.causal
    assert "pretrain.causal.steps: 450  (stays: set by hand; " in said
    configure(english)
    configure(small)
    assert (causal.steps, causal.eval_every, causal.checkpoint_every) == (450, 150, 75)
    assert schema.load(params_yaml).tokenize.vocab_size == 384


def test_a_vocabulary_is_no_larger_than_the_text_can_teach(params_yaml: Path, tmp_path: Path) -> None:
    (folder := tmp_path / "texts").mkdir()
    for number, text in enumerate([ENGLISH * 9, GERMAN * 9, JAPANESE * 7]):
        (folder / f"{number}.txt").write_text(text)
    configure(folder)
    size = sum(file.stat().st_size for file in folder.iterdir())
    assert 2500 < size < 3000
    assert schema.load(params_yaml).tokenize.vocab_size == 300 + round(size / 40)


def test_all_keys_that_follow_from_a_text_are_known(english: Path) -> None:
    rates = {"causal": RATES, "masked": RATES}
    assert subject.wanted(look(str(english)), schema.Params(), lambda _: rates).keys() > set(subject.CHOSEN)


def test_little_text_gets_a_small_vocabulary_and_few_steps(params_yaml: Path, tmp_path: Path) -> None:
    path = tmp_path / "small.txt"
    path.write_text("A few dozen kilobytes of words. " * 1500)
    configure(path)
    params, shipped = schema.load(params_yaml), schema.Params()
    assert params.tokenize.vocab_size < shipped.tokenize.vocab_size
    causal = params.pretrain.causal
    tokens = causal.steps * causal.batch * causal.context
    assert causal.steps < shipped.pretrain.causal.steps
    assert tokens * 1.5 < subject.MOST_EPOCHS * path.stat().st_size
    assert causal.eval_every <= causal.steps
    assert params.mix.canaries.per_count < shipped.mix.canaries.per_count


def test_much_text_is_cut_to_what_fits_the_time(params_yaml: Path, tmp_path: Path) -> None:
    path = tmp_path / "big.txt"
    with open(path, "wb") as file:
        file.write(b"Much text in plain English for the machine to read. " * 10_000)
        file.truncate(60_000_000)
    configure(path)
    assert schema.load(params_yaml).ingest.sources[0].max_megabytes == subject.DATA_STAGES_MEGABYTES


def test_a_slow_machine_trains_fewer_steps_and_a_quick_one_more(params_yaml: Path, english: Path) -> None:
    shipped = schema.load(params_yaml).pretrain.causal
    steps = []
    for step_s in (1.0, 0.19, 0.01, 0.001):
        said = configure(english, step_s)
        assert ("the time allows" in said) == (step_s > 0.1)
        assert (f"{subject.MOST_STEPS * shipped.steps} are the most" in said) == (step_s < 0.1)
        steps.append(schema.load(params_yaml).pretrain.causal.steps)
        printed, written = re.findall(r"^  ([a-z_.]+): ", said, re.MULTILINE), schema.read(params_yaml).own
        assert [key for key in printed if not layout.contains(written, key)] == [], "keys as they are written"
        params_file.before(params_yaml).rename(params_yaml)
    assert steps == sorted(steps)
    assert steps[0] < subject.PRETRAIN_S
    assert shipped.steps < steps[-1] <= subject.MOST_STEPS * shipped.steps


@pytest.mark.parametrize(
    ("texts", "languages", "share", "times"),
    [
        ([GERMAN * 400], ("de",), 0.0, 1),
        ([JAPANESE * 400], ("ja",), 0.0, 3),
        ([GERMAN * 300] * 3 + [JAPANESE * 300], ("de", "ja"), 0.0, 4),
        ([ENGLISH * 600] * 3 + [GERMAN * 300], ("en", "de"), 0.25, 2),
    ],
)
def test_curriculum_and_vocabulary_follow_the_languages_and_the_rules_do_not(
    params_yaml: Path, tmp_path: Path, texts: list[str], languages: tuple[str, ...], share: float, times: int
) -> None:
    """Rules ask each document's language: switched off for a corpus, they kept spam of the others. English exercises
    were a quarter of a corpus without English.
    """
    path = tmp_path / "texts"
    path.mkdir()
    for number, text in enumerate(texts):
        (path / f"{number}.txt").write_text(text)
    assert look(str(path)).languages == languages
    assert f" of text, languages of a tenth or more: {', '.join(languages)}" in configure(path)
    params, size = schema.load(params_yaml), sum(file.stat().st_size for file in path.iterdir()) / 1e6
    assert params.filter.limits == {}
    assert params.mix.curriculum.share == share
    assert params.tokenize.vocab_size == times * next(size_ for most, size_, _ in subject.VOCABULARY if size <= most)


def test_each_of_seven_folders_is_in_the_sample(tmp_path: Path) -> None:
    for folder in "abcdefg":
        (tmp_path / folder).mkdir()
        for number in range(40 if folder < "g" else 3):
            (tmp_path / folder / f"{number}.txt").touch()
    files = sorted(tmp_path.rglob("*.txt"))
    counts = Counter(path.parent.name for path in inspect_text._spread(files, 16))
    assert counts.keys() == set("abcdefg")
    assert set(counts.values()) <= {2, 3}
    assert len({path.parent for path in inspect_text._spread(files, 4)}) == 4


def test_the_field_that_holds_the_text_is_found(tmp_path: Path) -> None:
    rows = [{"id": number, "body": GERMAN * 3, "tag": "x"} for number in range(50)]
    path = tmp_path / "records.jsonl.gz"
    with gzip.open(path, "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    assert (look(str(path)).text_field, look(str(path)).languages) == ("body", ("de",))
    table = tmp_path / "rows.csv"
    table.write_text('name,story\n"a","' + GERMAN * 3 + '"\n')
    assert look(str(table)).text_field == "story"
    named = tmp_path / "named.jsonl"
    named.write_text(json.dumps({"text": "a short text of a few words, to be kept as it is", "comment": GERMAN}) + "\n")
    assert look(str(named)).text_field == "text"
    linked = tmp_path / "linked.jsonl"
    linked.write_text(json.dumps({"url": "https://example.org/" + "a" * 900, "body": GERMAN * 3}) + "\n")
    assert look(str(linked)).text_field == "body"
    (tmp_path / "hashes.csv").write_text("id,sha256\n" + "".join(f"{number},{'ab' * 32}\n" for number in range(9)))
    refuses(lambda: look(str(tmp_path / "hashes.csv")), "inspect_text._text_field.2", tmp_path / "hashes.csv", "`text`")


def test_many_bad_records_in_the_sample_are_said_before_anything_runs(tmp_path: Path) -> None:
    rows = [f'{number},"{GERMAN}"\n'.encode("latin-1" if number % 2 else "utf-8") for number in range(40)]
    (tmp_path / "mixed.csv").write_bytes(b"id,text\n" + b"".join(rows))
    assert "20 of the 40 records looked at are bad (50%)" in look(str(tmp_path)).not_read
    (tmp_path / "mixed.csv").write_bytes(b"id,text\n" + b"".join(rows[::2]))
    assert "ingest stops" not in look(str(tmp_path)).not_read


def test_files_lost_as_a_whole_are_named_before_bad_rows(tmp_path: Path) -> None:
    (tmp_path / "good.txt").write_text(GERMAN)
    (tmp_path / "latin.txt").write_bytes(("Größe und Maß. " * 500).encode("latin-1"))
    rows = ['{"text": ""}'] * 30 + ['{"text": "ab"}'] * 20 + ['{"text": 3}'] * 10 + ["nonsense"] * 5
    (tmp_path / "rows.jsonl").write_text("\n".join(rows))
    not_read = look(str(tmp_path)).not_read
    assert not_read.startswith(
        "1 x invalid_utf8 in a text file, first in latin.txt line 1; 30 x empty, first in rows.jsonl line 1; "
        "20 x too_short: fewer than 40 bytes, first in rows.jsonl line 31;"
    )
    assert "; 2 more reasons" in not_read


NO_FILE = "inspect_text._inspect_files.2"


def test_hub_ids_need_a_commit(params_yaml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    refuses(lambda: configure("owner/name"), "pinned.2", "owner/name")
    refuses(lambda: configure("owner/name@main"), "pinned.2", "owner/name@main")
    commit = "0123456789abcdef0123456789abcdef01234567"
    configure(f"owner/name@{commit}")
    (source,) = schema.load(params_yaml).ingest.sources
    assert isinstance(source, schema.Hub)
    assert (source.dataset, source.revision) == ("owner/name", commit)
    assert "nothing changed" in configure(f"owner/name@{commit}")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda folder: folder / "missing", ["pinned.1", "missing"]),
        (lambda folder: folder, [NO_FILE, "folder"]),
        (lambda folder: os.mkfifo(folder / "pipe") or folder / "pipe", [NO_FILE, "pipe: no regular file"]),
        (lambda folder: (folder / "a.bin").write_bytes(b"\0") and folder, [NO_FILE, "1 file (.bin)"]),
        (lambda folder: (folder / "a.txt").touch() or folder, [NO_FILE, "empty"]),
        (lambda folder: (folder / "a.jsonl.gz").write_bytes(gzip.compress(b"")) and folder, [NO_FILE, "empty"]),
        (lambda folder: (folder / "a.json").write_text('{"text": "a"}\n' * 2) and folder,
         ["inspect_text._text_field.1", "a.json", ".jsonl"]),
        (lambda folder: (folder / "a.parquet").write_bytes(b"PAR1" + bytes(99)) and folder,
         ["inspect_text._text_field.1", "a.parquet", "whole copy"]),
        (lambda folder: (folder / ".a.txt").write_text(GERMAN) and folder, [NO_FILE, "folder"]),
        (lambda folder: (folder / "a.txt").write_bytes(bytes(range(256)) * 800) and folder,
         ["inspect_text._texts", "x invalid_utf8"]),
        (lambda folder: (folder / "a.txt").write_text("Little text.") and folder,
         ["inspect_text._texts", "too_short", 40]),
        (lambda folder: (folder / "a.md").write_text("x" * 60) and folder, ["edit.text.sizes", "60 bytes"]),
        (lambda folder: Path(os.fsdecode(bytes(folder) + b"/b\xff.txt")).write_text(GERMAN) and folder,
         ["_inspect_files.1", r"b\udcff.txt (its name is not UTF-8)"]),
        (lambda _: ROOT, ["_refuse_own_folders.1"]),
        (lambda _: ROOT / ".git", ["_refuse_own_folders.1"]),
        (lambda _: ROOT / "docs", ["_refuse_own_folders.2"]),
        (lambda _: ROOT / "components" / "stages", ["_refuse_own_folders.2"]),
        (lambda _: ROOT / "README.md", ["_refuse_own_folders.2"]),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused_before_anything_changes(
    params_yaml: Path, tmp_path: Path, make: object, says: list
) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    before = params_yaml.read_text()
    with refused(*says):  # before the machine is calibrated
        subject.configure(str(make(folder)), lambda _: pytest.fail("calibrated"))  # type: ignore[operator]
    assert params_yaml.read_text() == before
    assert not params_file.before(params_yaml).exists()


def test_a_table_without_the_field_of_the_text_is_named_and_not_planned_with(tmp_path: Path) -> None:
    """It lay beyond the sample, held most of the bytes, was counted, and was then left out by ingest."""
    for number in range(40):
        (tmp_path / f"{number:02}.txt").write_text(GERMAN * 20)
    (tmp_path / "rows.jsonl").write_text(json.dumps({"text": GERMAN * 20}))
    alone = look(str(tmp_path))
    (tmp_path / "05-wide.csv").write_text("name,description\n" + f'a,"{GERMAN}"\n' * 400)
    own = look(str(tmp_path))
    assert (own.text_field, own.num_bytes, own.files) == ("text", alone.num_bytes, 41)
    assert own.not_read.startswith("1 x no field 'text' (")
    assert "05-wide.csv has name, description" in own.not_read
    assert not alone.not_read


def test_files_beyond_the_sample_are_looked_at_until_one_can_be_used(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"{number:02}.txt").write_text("short")
    (tmp_path / "39.txt").write_text(GERMAN * 400)
    (tmp_path / ".hidden.txt").write_text(JAPANESE * 400)
    (tmp_path / "empty.txt").touch()
    own = look(str(tmp_path))
    assert (own.languages, own.files) == (("de",), 41)


def test_a_preset_is_shown_and_changes_only_the_keys_it_names(
    params_yaml: Path, greenhouse: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = params_file.edited(params_yaml.read_text(), {"dedup.threshold": 0.9, "pretrain.common.steps": 7})
    mine = params_file.edited(mine, {"pretrain.masked.steps": 324, "pretrain.masked.eval_every": 9})  # by `edit text`
    params_yaml.write_text(mine)
    monkeypatch.setattr(params_file, "PRESETS", ROOT / "tests")
    said = greenhouse("edit", "preset", "small")
    assert "-    steps: 7  # Optimizer steps." in said
    assert "+    steps: 12  # Optimizer steps." in said
    assert "+  shard_megabytes: 0.25  # Text per shard (10^6 bytes); bounds memory." in said
    small = schema.load(ROOT / "params.yaml", ROOT / "tests" / "small.yaml")
    assert schema.load(params_yaml) == small.model_copy(update={"dedup": schema.Dedup(threshold=0.9)})
    assert "nothing changed" in preset.apply_preset("small")
    preset.apply_preset("default")
    assert params_yaml.read_text() == document.params_text()


def test_at_a_terminal_a_preset_waits_for_a_yes(params_yaml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = params_yaml.read_text()
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: "")
    assert preset.apply_preset("gpu-124m") == "nothing changed"
    assert params_yaml.read_text() == before
    monkeypatch.setattr("builtins.input", lambda question: "yes")
    preset.apply_preset("gpu-124m")
    assert schema.load(params_yaml).numerics.device == "cuda"


def test_a_preset_that_is_not_there_or_does_not_fit_changes_nothing(
    params_yaml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = params_yaml.read_text()
    refuses(lambda: preset.apply_preset("test"), "read_tree.1", "test.yaml", "cpu-40min, gpu-124m, overnight-cpu")
    (tmp_path / "wrong.yaml").write_text("dedup: {threshold: 7}\n")
    monkeypatch.setattr(params_file, "PRESETS", tmp_path)
    refuses(lambda: preset.apply_preset("wrong"), "ParamFiles.params", "dedup.threshold = 7", "less than or equal to 1")
    assert params_yaml.read_text() == before


@pytest.mark.parametrize("text", [None, "", "dedup: [", "dedup: {near: true}\n"])
def test_a_broken_params_yaml_is_put_back_by_the_preset_default(params_yaml: Path, text: str | None) -> None:
    params_yaml.unlink() if text is None else params_yaml.write_text(text)
    with pytest.raises(UserError):
        schema.load(params_yaml)
    preset.apply_preset("default")
    assert schema.load(params_yaml) == schema.Params()
    assert params_file.before(params_yaml).exists() == (text is not None)
    configure(hub := "owner/name@" + "0" * 40)
    assert schema.load(params_yaml).ingest.sources[0].name in hub, "what was kept is no longer asked"


def test_defaults_yaml_is_written_from_the_schema(params_yaml: Path) -> None:
    path = params_yaml.with_name("defaults.yaml")
    path.write_text(path.read_text().replace("  bands: 32 ", "  bands: 16 "))
    assert "+  bands: 32  # MinHash bands" in preset.rewrite_defaults()
    assert schema.load(params_yaml).dedup.bands == 32
    assert "nothing changed" in preset.rewrite_defaults()


SHORT, LONG = "A sentence of some length. " * 9, "x" * 3_000_000


@pytest.mark.parametrize(
    ("name", "head", "row", "between", "end"),
    [
        ("a.jsonl", "", '{{"text": "{}"}}', "\n", "\n"),
        ("a.json", "", '{{"text": "{}"}}', None, ""),
        ("a.json", "[", '{{"text": "{}"}}', ", ", "]"),
        ("a.csv", "id,text,label\n", '1,"{}",0', "\n", "\n"),
        ("a.csv", "id,text\n", '1,"{}"', "\n2,unquoted\n", "\n"),
    ],
)
def test_a_text_too_long_is_refused_from_its_beginning_but_not_with_records_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, head: str, row: str, between: str | None, end: str
) -> None:
    taken, readline = list[int](), OpenFile.readline

    def counted(file: OpenFile, size: int) -> bytes:
        taken.append(len(line := readline(file, size)))
        return line

    monkeypatch.setattr(OpenFile, "readline", counted)
    (tmp_path / name).write_text(head + row.format(LONG) + end)
    with pytest.raises(UserError, match="more than 2000000 characters"):
        look(str(tmp_path))
    assert sum(taken) < 2_500_000
    if between is not None:
        (tmp_path / name).write_text(head + row.format(LONG) + between + row.format(SHORT) + end)
        assert field_lengths(tmp_path / name, 2_000_000)["text"] >= len(SHORT.rstrip())


def test_a_row_of_parquet_too_long_is_refused_unread_but_not_with_rows_after_it(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": [LONG * 3]}), tmp_path / "a.parquet")
    with pytest.raises(UserError, match=r"texts of 9000.* bytes, more than 2000000 characters can have"):
        look(str(tmp_path))
    pq.write_table(pa.table({"text": [LONG * 3, SHORT]}), tmp_path / "a.parquet")
    assert look(str(tmp_path)).text_field == "text"


def test_an_open_quotation_mark_is_named_with_its_line(tmp_path: Path) -> None:
    rows = [f"{number},{GERMAN.replace(',', '')},{number % 2}\n" for number in range(60)]
    rows[5] = rows[5].replace(",", ',"', 1)
    for last in (rows[-1], rows[-1].replace(",0", '",0').replace(",1", '",1')):  # never closed, or by a stray one
        (tmp_path / "a.csv").write_text("".join(["id,text,label\n", *rows[:-1], last]))
        not_read = look(str(tmp_path)).not_read
        assert "1 x invalid_csv: not CSV: a quotation mark is not closed; close it" in not_read
        assert "first in a.csv line 7" in not_read


@pytest.mark.pipeline
@pytest.mark.long
def test_a_file_changed_added_or_deleted_makes_ingest_stale(migrated_clone: PipelineClone, english: Path) -> None:
    """What `greenhouse run --data folder` writes, in a clone, up to ingest."""
    source = {"kind": "files", "name": "own", "path": str(english)}
    migrated_clone.set(ingest__sources=[source], ingest__watch=str(english))
    migrated_clone.run("greenhouse", "run", "--until", "ingest")
    lock = (migrated_clone.root / "dvc.lock").read_text()
    stale = migrated_clone.run_code(CHANGES.format(folder=str(english)))
    assert stale == "False True False True False True"
    assert "\ningest:" in "\n" + migrated_clone.run("greenhouse", "plan", "--why")
    assert (migrated_clone.root / "dvc.lock").read_text() == lock, "asking changes nothing"


CHANGES = """
from pathlib import Path
from flows.system import dvc
changed, added = Path({folder!r}, "0.txt"), Path({folder!r}, "added.txt")
content = changed.read_text()
steps = [
    lambda: None,
    lambda: changed.write_text(content + "One line more."),
    lambda: changed.write_text(content),
    lambda: added.write_text("A file that was not there before, of a few words."),
    added.unlink,
    changed.unlink,
]
print(*[("ingest" in dvc.stale()) for step in steps if [step()]])
"""

"""Fine-tuning on one's own rows, on the pipeline's base and on one made elsewhere."""

import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from components.core.files import read_json, sha256_bytes
from components.core.progress import Progress
from components.core.report import Report
from components.corpus.corpus import CorpusWriter, read_corpus
from components.finetuning_data.chat import encode
from components.finetuning_data.formats import Rows
from components.finetuning_data.rows import Labelled, Preference, Row
from components.finetuning_data.split import Split
from components.instruction_pairs.examples import Message
from components.model import export
from components.model.export import tokenizer_text
from components.params import Classify, Finetune, Instruct
from components.stages.account.model_answers import load_answer
from components.stages.finetune import adapter
from components.stages.finetune.example_selection import choice_of, select
from components.tokens.hub_encoder import HubEncoder, encoder_of
from components.tokens.tokenizer import Encoder, train_bpe
from tests.components import task_corpora as corpora
from tests.components.stages.finetune.test_stage import run as run_stage
from tests.components.stages.finetune.test_stage import save_bases
from tests.errors import refused

FAST: dict[str, Any] = {"steps": 30, "batch": 8, "context": 128, "checkpoint_every": 30, "learning_rate": 0.003}
PLACES = ("Lima", "Oslo", "Rome", "Cairo", "Quito", "Accra")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Corpora, a base model of each kind, and rows of each kind."""
    root = corpora.python_docs(tmp_path_factory.mktemp("rows"))
    tokenizer_json = train_bpe([document.text for document in read_corpus(root / "train")], 500).to_str()
    save_bases(root, tokenizer_json, 500, 128)
    rows: list[Any] = []
    for number in range(120):
        name, home = f"Person {number * 37 % 101}", PLACES[number % 6]
        asked = f"{name} lives in {home}. Where is that, number {number}?"
        turns = [("system", "Say the place."), ("user", f"Hi {number}"), ("assistant", "Yes?"), ("user", asked),
                 ("assistant", f"In {home}.")]  # fmt: skip
        rows.append({"messages": [{"role": role, "content": content} for role, content in turns]})
    long = {"prompt": "a long question " * 60, "completion": "too late"}
    bad = {"messages": [{"role": "robot", "content": "x"}]}
    cut = {"prompt": "Count.", "completion": " ".join(map(str, range(200)))}
    (root / "chats.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*rows, bad, long, cut, rows[0]]))
    texts = [(f"{home} {word}{number}", home) for number, word in enumerate(["quiet", "busy", "old"] * 20)
             for home in PLACES[:2]]  # fmt: skip
    (root / "labels.csv").write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in texts))
    return root


def run(
    place: Path, target: Path, branch: str, rows: str, params: Finetune, base: Path | None = None,
    progress: Progress | None = None,
) -> Report:  # fmt: skip
    return run_stage(place, target, branch, params, progress, rows, base)


def test_chats_are_learned_and_every_row_is_accounted_for(place: Path, tmp_path: Path) -> None:
    report = run(place, tmp_path, "instruct", "chats.jsonl", Instruct(**FAST))
    metrics, facts = report.metrics, report.facts
    assert metrics["gain_bits_per_byte/low"] > 0.5
    assert facts["task"] == "rows"
    assert facts["cut"] == 1
    refused = {"unknown role": 1, "repeats an earlier row": 1, "nothing to learn": 1}
    assert facts["refused"] == refused
    assert metrics["train_pairs"] + metrics["heldout_pairs"] + sum(refused.values()) == 124
    assert "1 cut to fit the context" in report.markdown
    assert "1 x unknown role, first chats.jsonl line 121" in report.markdown
    assert "chats.jsonl line 121,unknown role" in (tmp_path / "reports/details/refused.csv").read_text()
    assert str(tmp_path) not in report.markdown
    assert re.search(r"`system: Say the place. user: Hi \d+ assistant: Yes\? user: Person", report.markdown)
    model = json.loads((tmp_path / "out" / "greenhouse.json").read_text())
    assert model["task"]["chat"]
    assert "example" not in model["task"], "a row of one's own would go wherever the model does"


def test_answers_that_are_known_and_rows_that_are_not_seen_are_said(place: Path, tmp_path: Path) -> None:
    """The gain looked like one on new answers, and a training of a tenth of the rows like one of all."""
    noun = ["river", "harbour", "market", "library", "garden", "station", "museum", "bridge", "castle", "tower"]
    rows = [{"prompt": f"{noun[ask * 3 % 10]}{answer * 7} {noun[answer % 10]}{ask} {answer * 31 + ask}?",
             "completion": f"The answer is {noun[answer % 10]} {answer}."}
            for answer in range(40) for ask in range(5)]  # fmt: skip
    rows += [{"prompt": f"{'long ' * 80}{noun[n % 10]} {n * 17}?", "completion": "Yes."} for n in range(20)]
    (place / "known.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = run(place, tmp_path, "instruct", "known.jsonl", Instruct(**FAST | {"steps": 3, "batch": 4}))
    heldout, trained = int(report.metrics["heldout_pairs"]), int(report.metrics["train_pairs"])
    known = report.facts["known_answers"]
    assert heldout - 1 <= known <= heldout
    gain = next(line for line in report.markdown.splitlines() if line.startswith("Tuning saves"))
    said = f"{known} of {heldout} held-out answers are also answers of training rows, word for word: the gain may be"
    assert said in report.markdown.partition(gain)[2].strip().splitlines()[0]
    seen = f"12 of {trained} training rows are seen, once; raise finetune.instruct.steps from 3 to "
    assert f"{seen}{math.ceil(trained / 4)} for all." in report.markdown
    cut = r"cut to fit the context \(in training a chat loses its end; [1-9]\d* scored answers the beginning of their"
    assert re.search(cut, report.markdown)
    items = pl.read_csv(tmp_path / "reports" / "details" / "heldout.csv")
    assert items["where"].str.contains(r"^known\.jsonl line \d+$").all()


def test_labels_are_learned(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place, world := tmp_path / "world")
    shutil.rmtree(world / "rows", ignore_errors=True)
    (world / "rows").mkdir()
    (world / "rows/train.csv").write_text((place / "labels.csv").read_text() + f"{'Lima all day ' * 90},Lima\n")
    (world / "rows/test.csv").write_text(
        f"text,label\n{(long := 'Oslo all night ' * 90)},Oslo\nLima quiet now,Lima\nOslo then,Oslo\nLima mostly,Lima\n"
    )
    report = run(world, tmp_path, "classify", "rows", Classify(**FAST | {"context": 64}, max_pairs=130))
    assert report.facts["labels"] == ["Lima", "Oslo"]
    assert report.facts["cut"] == 2
    assert re.search(r"2 of \d+ examples are cut to 64 tokens, and the base could read 128: raise", report.markdown)
    *whole, seen = sorted(pl.read_csv(tmp_path / "reports/details/heldout.csv")["text"], key=len)
    assert whole == ["Oslo then", "Lima mostly", "Lima quiet now"]
    assert long.startswith(seen)
    assert len(Encoder((place / "masked/tokenizer.json").read_text()).encode(seen)) == 64, "what the model saw"
    assert report.metrics["accuracy/value"] > 0.8


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_several_labels_are_learned(kind: str, place: Path, tmp_path: Path) -> None:
    from transformers import pipeline

    rows = [{"text": f"{' and '.join(homes)} {word}{number}", "labels": homes}
            for number, word in enumerate(["quiet", "busy", "old"] * 15)
            for homes in ([], ["Lima"], ["Oslo"], ["Oslo", "Lima"])]  # fmt: skip
    (place / "several.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    params = Classify(**FAST | {"steps": 60}, max_pairs=120)
    report = run(place, tmp_path, "classify", "several.jsonl", params, place / kind)
    metrics = report.metrics
    assert report.facts["labels"] == ["Lima", "Oslo"]
    assert metrics["accuracy/value"] > 0.8
    assert "accuracy/chance" not in metrics
    assert {"accuracy/tfidf", "macro_f1/value"} <= metrics.keys()
    assert "right is a text whose labels are all said and no others" in report.markdown
    assert " of the texts right in all their labels and the network " in report.facts["advice"]
    items = pl.read_csv(tmp_path / "reports" / "details" / "heldout.csv")
    assert set(items["true"]) == {"none", "Lima", "Oslo", "Lima, Oslo"}
    assert items["where"].str.contains(r"^several\.jsonl line \d+$").all()
    assert (items["true"] == items["this_model"]).mean() == pytest.approx(metrics["accuracy/value"])
    said = pipeline("text-classification", str(tmp_path / "out"))("Oslo and Lima old3", top_k=None)
    assert all(row["score"] > 0.5 for row in said), said


def test_rows_of_a_rare_class_are_learned_from(place: Path, tmp_path: Path) -> None:
    """A model that is sure of the frequent class has a high loss on each: that is data, no accident."""
    names = [f"Person {number * 37 % 101} {number}" for number in range(200)]
    labels = {7: "once"} | dict.fromkeys(range(0, 200, 40), "rare")
    rows = [f"{name} as every other row,{labels.get(number, 'usual')}\n" for number, name in enumerate(names)]
    (place / "rare.csv").write_text("text,label\n" + "".join(rows))
    report = run(place, tmp_path, "classify", "rare.csv", Classify(**FAST | {"batch": 4, "steps": 80}))
    assert report.metrics["skipped_batches"] == 0
    assert [row["caveat"] for row in report.facts["scores"]] == ["no held-out row is of the class 'once'"] * 2


# -- a base made elsewhere ---------------------------------------------------------------------------------------------


def foreign_tokenizer(texts: list[str], folder: Path, around: bool = False) -> None:
    """A byte-level BPE with the special tokens of Qwen, as `transformers` saves one; two of them `around` a text."""
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=420, initial_alphabet=alphabet, show_progress=False)
    )
    special = [AddedToken(name, special=True) for name in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")]
    tokenizer.add_special_tokens(special)
    if around:
        ends = [(token.content, tokenizer.token_to_id(token.content)) for token in special[1:]]
        tokenizer.post_processor = processors.TemplateProcessing("<|im_start|> $A <|im_end|>", special_tokens=ends)
    named = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    named |= {"mask_token": "<|endoftext|>"} if around else {}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named)
    fast.save_pretrained(folder)


@pytest.fixture(scope="module", params=[True, False], ids=["tied", "untied"])
def foreign(request: pytest.FixtureRequest, place: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Qwen3 in bfloat16, in shards, with its own tokenizer, as `transformers` writes one."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    folder = tmp_path_factory.mktemp("qwen")
    foreign_tokenizer([document.text for document in read_corpus(place / "train")], folder)
    torch.manual_seed(1)
    fields = Qwen3Config(
        vocab_size=432, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=16, max_position_embeddings=256, tie_word_embeddings=request.param,
        eos_token_id=422, pad_token_id=420, bos_token_id=None,
    )  # fmt: skip
    Qwen3ForCausalLM(fields).to(torch.bfloat16).save_pretrained(folder, max_shard_size="60KB")
    assert (folder / "model.safetensors.index.json").exists()
    return folder


def test_a_base_made_elsewhere_is_tuned_and_loads_in_transformers(foreign: Path, place: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    report = run(place, tmp_path, "instruct", "chats.jsonl", Instruct(**FAST), foreign)
    assert report.metrics["gain_bits_per_byte/low"] > 0.3
    doubted = "predicts the held-out text no better than a uniform guess"
    assert f"{foreign.name} {doubted} (6." in report.markdown  # random weights
    tuned, bare = tmp_path / "out", shutil.copytree(tmp_path / "out", tmp_path / "bare")
    (bare / "greenhouse.json").unlink()
    again = run(place, tmp_path / "more", "instruct", "chats.jsonl", Instruct(**FAST | {"steps": 1}), bare)
    assert doubted not in again.markdown
    known = read_json(tuned / "greenhouse.json")["finetuning"]
    assert (known["base"], known["rows"]) == (foreign.name, "chats.jsonl")
    assert known["tokenizer_sha256"] == sha256_bytes(tokenizer_text(tuned).encode())
    tokenizer, encoder = AutoTokenizer.from_pretrained(tuned), encoder_of(tuned)
    assert isinstance(encoder, HubEncoder)
    chat = [("system", "Be brief."), ("user", " Where,\nand when? é"), ("assistant", "In Oslo. \n"), ("user", "Sure?"),
            ("assistant", "Yes.")]  # fmt: skip
    for length, ask in ((5, False), (4, True)):
        theirs = tokenizer.apply_chat_template(
            [{"role": role, "content": content} for role, content in chat[:length]],
            tokenize=True, return_dict=True, return_assistant_tokens_mask=True, add_generation_prompt=ask,
        )  # fmt: skip
        ids, learned = encode([Message(*turn) for turn in chat[:length]], encoder, ask=ask)
        assert ids == theirs["input_ids"]
        assert [int(one) for one in learned] == theirs["assistant_masks"]
    with pytest.raises(Exception, match="unknown role tool"):
        tokenizer.apply_chat_template([{"role": "tool", "content": "x"}], tokenize=False)
    ours, _, _ = export.load(tuned)
    model = AutoModelForCausalLM.from_pretrained(tuned).eval()
    with torch.inference_mode():
        assert torch.allclose(ours(torch.tensor([ids])), model(torch.tensor([ids])).logits, atol=2e-4)
    assert model.generation_config.eos_token_id == [422]
    loaded: dict[str, Any] = {}
    exec("\n".join(load_answer("finetune/instruct", str(tuned)).lines), loaded)
    said = loaded["model"]([{"role": "user", "content": "Where?"}], max_new_tokens=4)[0]["generated_text"]
    assert [turn["role"] for turn in said] == ["user", "assistant"]
    assert b"".join(encoder.token_bytes(id) for id in encoder.encode("é, so")) == "é, so".encode()


def test_an_adapter_of_a_base_in_shards_is_loaded_by_peft_and_by_us(foreign: Path, place: Path, tmp_path: Path) -> None:
    from peft import AutoPeftModelForCausalLM

    run(place, tmp_path, "instruct", "chats.jsonl", Instruct(**FAST, lora_rank=4, base=str(foreign)), foreign)
    folder, ids = tmp_path / "out" / "adapter", torch.arange(3, 60)[None]
    assert read_json(folder / "greenhouse.json")["task"]["chat"]
    theirs = AutoPeftModelForCausalLM.from_pretrained(folder, dtype=torch.float32)  # it finds the base by itself
    with torch.inference_mode():
        logits = theirs.eval()(ids).logits
        assert (logits - export.load(tmp_path / "out")[0](ids)).abs().max() < 2e-4
        assert (logits - adapter.load(folder)[0](ids)).abs().max() < 2e-4


@pytest.fixture(scope="module")
def masked_elsewhere(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A EuroBERT in bfloat16 with shared key heads and its own tokenizer, which puts tokens around a text."""
    from transformers import EuroBertConfig, EuroBertForMaskedLM

    folder = tmp_path_factory.mktemp("eurobert")
    foreign_tokenizer([document.text for document in read_corpus(place / "train")], folder, around=True)
    torch.manual_seed(2)
    fields = EuroBertConfig(
        vocab_size=432, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, rope_theta=250000.0, rms_norm_eps=1e-5,
        bos_token_id=421, eos_token_id=422, pad_token_id=420, mask_token_id=420,
    )  # fmt: skip
    EuroBertForMaskedLM(fields).to(torch.bfloat16).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("rank", [0, 4])
@torch.inference_mode()
def test_a_masked_base_made_elsewhere_is_given_a_head(
    rank: int, masked_elsewhere: Path, place: Path, tmp_path: Path
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    with torch.inference_mode(False):
        params = Classify(**FAST | {"learning_rate": 0.01 if rank else 0.003}, max_pairs=100, lora_rank=rank)
        report = run(place, tmp_path, "classify", "labels.csv", params, masked_elsewhere)
    assert report.metrics["accuracy/low"] > 0.6
    tuned = tmp_path / "out"
    tokenizer, encoder = AutoTokenizer.from_pretrained(tuned), encoder_of(tuned)
    text = "Lima quiet7, é <|im_end|>"
    assert [421, *encoder.encode(text), 422] == encoder.passage(text, 64)
    given = tokenizer(["Lima quiet7", "Oslo old 3 and more"], return_tensors="pt", padding=True)
    assert given["input_ids"][0, : given["attention_mask"][0].sum()].tolist() == encoder.passage("Lima quiet7", 64)
    model = AutoModelForSequenceClassification.from_pretrained(tuned).eval()
    whole, _, _ = export.load(masked_elsewhere)
    assert model.config.id2label == {0: "Lima", 1: "Oslo"}
    assert type(model).__name__ == "EuroBertForSequenceClassification"
    logits = model(**given).logits
    assert logits.argmax(1).tolist() == [0, 1]
    assert whole.shape.kv_heads == 2
    if rank:
        base = AutoModelForSequenceClassification.from_pretrained(masked_elsewhere, num_labels=2, dtype=torch.float32)
        theirs = PeftModel.from_pretrained(base, tuned / "adapter").eval()
        assert (theirs(**given).logits - logits).abs().max() < 2e-4


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("config.json", "<html>", ["files.read_fields", "config.json", "Expecting value"]),
        ("config.json", {"vocab_size": 400}, ["export.inspected.7", "tokenizer.json", "422", "400"]),
        ("vocab.txt", "[PAD]\n[CLS]\n[SEP]", ["export.inspected.7", "most tokens of vocab.txt have other ids"]),
        ("tokenizer.json", "{", ["export.inspected.4", "tokenizer.json"]),
        ("model.safetensors", "12345678", ["export.inspected.4", "model.safetensors"]),
        ("model.safetensors", None, ["export.weight_files.2", "model.safetensors"]),
    ],
)
def test_a_damaged_base_or_one_with_the_tokenizer_of_another_is_named(
    name: str, content: Any, says: list[str], masked_elsewhere: Path, place: Path, tmp_path: Path
) -> None:
    shutil.copytree(masked_elsewhere, tmp_path / "base")
    path = tmp_path / "base" / name
    if content is None:
        path.unlink()
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(read_json(path) | content))
    with refused(*says, tmp_path / "base"):
        run(place, tmp_path, "classify", "labels.csv", Classify(**FAST), tmp_path / "base")


def test_a_held_out_preference_keeps_its_line_and_a_class_without_held_out_rows_is_named() -> None:
    encoder = Encoder(train_bpe([], 263).to_str())

    def choice(kind: Any, train: list[Row], heldout: list[Row]) -> Any:
        return choice_of(Split(Rows(Path("rows"), kind, [], []), train, heldout, []), encoder, 64)

    train, tested = (Preference((Message("user", f"Why {n}?"),), "So.", "No.", f"rows line {n}", "7") for n in (1, 2))
    made = choice("preference", [train], [tested])
    assert (made.examples.heldout[0].where, made.examples.heldout[0].cluster) == ("rows line 2", "7")
    rows: list[Row] = [Labelled(f"text {n}", "abc"[n % 3], str(n)) for n in range(9)]
    note = choice("label", rows, [Labelled("a text", "a", "9")]).examples.note
    assert "No held-out row is of the classes 'b', 'c': no score here is about them." in note
    assert "case" not in note
    rows = [
        Labelled(f"text {n}", ("Red", "red", "Straße", "blue", "red|blue", "blue;x")[n % 6], str(n)) for n in range(9)
    ]
    assert choice("label", rows, rows[:1]).examples.note.endswith(
        " Classes that differ in case alone: 'Red', 'red'; if two mean one, write them alike in the file, for as they "
        "are they count against each other. The class 'red|blue' is others joined: --columns with "
        "labels=COLUMN, and not label, gives a text several classes."
    )


def test_columns_that_make_one_text_are_named_where_the_task_is(tmp_path: Path) -> None:
    """Who uses the model has to join new texts alike."""
    rows = [f"{n} birds,{n * n} fish,{'yes' if n % 2 else 'no'}" for n in range(40)]
    (tmp_path / "pairs.csv").write_text("\n".join(["premise,hypothesis,label", *rows]))
    with CorpusWriter(tmp_path / "heldout"):
        pass
    encoder = Encoder(train_bpe([], 263).to_str())
    choice = select("classify", tmp_path / "pairs.csv", tmp_path / "heldout", Classify(**FAST), encoder, 64)
    assert choice.task.title.endswith("a text (text = premise + hypothesis, with a blank line between)")

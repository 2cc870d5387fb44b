"""Bases that `transformers` runs: tuned in the same loop, resumed to the byte, and the same model in other tools."""

import json
import re
import sys
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from benchmarks.bases.tiny import CAUSAL, save_tiny
from components.core.files import read_json, write_json
from components.finetuning_data.chat import encode
from components.instruction_pairs.examples import Message
from components.model import export, hub_model
from components.model.generate import generate
from components.params import Classify, Finetune, Instruct, Numerics
from components.stages.finetune import tfidf
from components.stages.finetune.training import settings_of
from components.tokens.hub_encoder import HubEncoder, encoder_of
from components.training.forecast import TrainingForecast, refuse_beyond
from components.training.objectives import language_model_loss, packed
from flows.chat import Sampling, open_chat
from tests.components.real_text import tree
from tests.components.stages.finetune.test_own_rows import place, run
from tests.errors import refused, refuses
from tests.progress_recorder import Recorder

__all__ = ["place"]
FAST: dict[str, Any] = {"steps": 9, "batch": 8, "context": 96, "checkpoint_every": 4, "learning_rate": 0.003}


def killed(checkpoints: Path) -> Recorder:
    """Progress of a process that ends two steps after a checkpoint without saving anything."""
    looks = count()

    def kill(told: Recorder) -> bool:
        if (checkpoints / "step-000004").exists() and next(looks) == 2:
            raise InterruptedError
        return False

    return Recorder(kill)


@pytest.fixture(scope="module")
def bases(place: Path) -> Path:
    """A folder of bases with the tokenizer of `place`."""
    for kind in ("llama", "bert"):
        save_tiny(kind, (place / "causal/tokenizer.json").read_text(), 500, place / "bases" / kind)
    return place / "bases"


@pytest.mark.parametrize(("kind", "rank"), [("llama", 0), ("llama", 4), ("bert", 0), ("bert", 4)])
def test_a_base_is_tuned_resumed_to_the_byte_and_is_the_same_model_in_transformers_and_peft(
    kind: str, rank: int, bases: Path, place: Path, tmp_path: Path
) -> None:
    causal, more = kind in CAUSAL, {"lora_rank": rank, "base": str(bases / kind)}
    params: Finetune = Instruct(**FAST, **more) if causal else Classify(**FAST, **more)
    work = tmp_path / "killed/work/checkpoints"
    branch, rows = ("instruct", "chats.jsonl") if causal else ("classify", "labels.csv")
    with pytest.raises(InterruptedError):
        run(place, tmp_path / "killed", branch, rows, params, bases / kind, killed(work))
    assert max(path.name for path in work.iterdir()) == "step-000004"
    told = Recorder()
    report = run(place, tmp_path / "killed", branch, rows, params, bases / kind, told)
    assert any("going on from step 4" in line for line in told.lines)
    told = Recorder()
    assert report == run(place, tmp_path / "whole", branch, rows, params, bases / kind, told)
    (forecast,) = (line for line in told.lines if line.startswith("forecast: "))
    assert forecast.endswith("at most with its cross-validation before") is not causal
    assert any(note.startswith("cross-validation 2 of at most 5: loss") for note in told.notes) is not causal
    assert ("cross-validate" in told.checks) is not causal
    assert any(line.startswith("Similar rows are all on one side") for line in told.lines), "notes come before training"
    for part in ("out", "reports"):
        assert tree(tmp_path / "killed" / part) == tree(tmp_path / "whole" / part)
    out, ids = tmp_path / "whole/out", torch.arange(20, 60).view(2, 20)
    auto = transformers.AutoModelForCausalLM if causal else transformers.AutoModelForSequenceClassification
    theirs = auto.from_pretrained(out).eval()
    assert not {path.suffix for path in out.rglob("*") if path.is_file()} - {".json", ".safetensors"}
    with torch.no_grad():
        if causal:
            config = read_json(out / "config.json")  # as readers of transformers 4 look for it
            assert (config["rope_theta"], config["rope_scaling"]["factor"]) == (5e5, 8.0)
            assert (theirs(ids).logits - export.load(out)[0](ids)).abs().max() < 1e-4
        else:
            assert theirs.config.id2label == {0: "Lima", 1: "Oslo"}
        if rank:
            from peft import PeftModel

            fields = {} if causal else {"num_labels": 2, "pad_token_id": theirs.config.pad_token_id}
            adapted = PeftModel.from_pretrained(auto.from_pretrained(bases / kind, **fields), out / "adapter").eval()
            assert (theirs(ids).logits - adapted(ids).logits).abs().max() < 1e-4


@pytest.mark.parametrize("kind", CAUSAL)
@torch.no_grad()
def test_chats_in_a_row_leave_each_other_alone(kind: str, place: Path, tmp_path: Path) -> None:
    save_tiny(kind, (place / "causal/tokenizer.json").read_text(), 500, tmp_path)
    model = export.load(tmp_path)[0]
    assert isinstance(model, export.HubModel)
    assert model.packs
    chats = [(list(range(20 + n, 50 + n)), [False] * 9 + [True] * 21) for n in range(3)]
    together = packed(chats, 96, 32)
    assert len(together.ids_BT) == 1
    alone = sum(float(language_model_loss(model, packed([chat], 96, 32))) for chat in chats)
    for batch in (together, packed(chats, 96, 32, alone=True)):
        assert float(language_model_loss(model, batch)) == pytest.approx(alone, rel=1e-4)


def test_a_base_chats_as_transformers_generates(bases: Path, place: Path, tmp_path: Path) -> None:
    model, tokenizer, _ = export.load(bases / "llama")
    ids = list(range(30, 42))
    _, made, _ = generate(model, tokenizer, ids, max_tokens=12, stop_ids=())
    theirs: Any = transformers.AutoModelForCausalLM.from_pretrained(bases / "llama")
    greedy = theirs.generate(torch.tensor([ids]), max_new_tokens=12, do_sample=False, eos_token_id=None)
    assert greedy[0, 12:].tolist() == made
    params = Instruct(**FAST | {"steps": 1}, lora_rank=2, base=str(bases / "llama"))
    run(place, tmp_path, "instruct", "chats.jsonl", params, bases / "llama")
    for folder in (tmp_path / "out", tmp_path / "out/adapter"):
        conversation, said = open_chat(folder, Sampling(max_tokens=4))
        assert "answers questions" in said
        assert conversation.answer("Where?", lambda text: None).probabilities


def test_a_length_that_a_tokenizer_asks_for_is_not_given_to_rows(bases: Path, tmp_path: Path) -> None:
    """Those of sentence-transformers pad each text to 128: rows were trained on so, and all of them called cut."""
    whole = Tokenizer.from_file(str(bases / "bert/tokenizer.json"))
    ids, bare = (whole.encode("a few words", add_special_tokens=around).ids for around in (True, False))
    whole.enable_padding(length=40)
    whole.enable_truncation(3)
    whole.save(str(tmp_path / "tokenizer.json"))
    encoder = HubEncoder(tmp_path)
    assert (encoder.passage("a few words", 64), encoder.encode("a few words")) == (ids, bare)
    assert len(bare) > 3


def test_a_tokenizer_without_tokens_of_a_chat_ends_messages_with_the_end_of_a_text(tmp_path: Path) -> None:
    vocab = {character: id for id, character in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken("</s>", special=True)])
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>")
    fast.save_pretrained(tmp_path)
    encoder = HubEncoder(tmp_path)
    chat = [Message("user", " Is it? "), Message("assistant", "Yes.\n"), Message("user", "x")]
    fast.chat_template = encoder.chat.template
    asked = [{"role": message.role, "content": message.content} for message in chat]
    theirs = fast.apply_chat_template(
        asked, return_assistant_tokens_mask=True, return_dict=True, add_generation_prompt=True
    )
    ids, learned = encode(chat, encoder, ask=True)
    assert (ids, learned) == (theirs["input_ids"], [bool(one) for one in theirs["assistant_masks"]])
    assert encoder_of(tmp_path).chat.end == 256
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    with refused("HubEncoder.chat"):
        _ = HubEncoder(tmp_path).chat


def test_what_a_base_reads_of_a_text_is_shown_as_it_was_written(tmp_path: Path) -> None:
    """A tokenizer of BERT's kind decodes to small letters, with a space before each sign."""
    words = ["[UNK]", "[CLS]", "[SEP]", "hello", ",", "world", "!", "it", "is", "late"]
    tokenizer = Tokenizer(models.WordPiece({word: id for id, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    encoder, text = HubEncoder(tmp_path), "  Hello, Wörld!  It\nis LATE. "
    cut = {context: encoder.read(text, context) for context in (2, 5, 6, 8, 20)}
    assert cut == {2: "", 5: "  Hello, Wörld", 6: "  Hello, Wörld!", 8: "  Hello, Wörld!  It\nis", 20: text}


def test_a_base_that_cannot_be_used_is_refused_before_work(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tmp_path / "base"
    save_tiny("bert", (place / "masked/tokenizer.json").read_text(), 500, base)
    fields, weights = read_json(base / "config.json"), base / "model.safetensors"
    for change, code in (
        ({"auto_map": {"AutoModel": "mine.Mine"}}, "hub_model.refuse_code"),
        ({"hidden_size": 64}, "export.inspected.5"),
        ({"hidden_size": "wide"}, "hub_model.shape_of"),
    ):
        write_json(base / "config.json", fields | change)
        with refused(code, base):
            run(place, tmp_path, "classify", "labels.csv", Classify(**FAST), base)
    write_json(base / "config.json", fields)
    tokens = read_json(base / "tokenizer_config.json")
    write_json(base / "tokenizer_config.json", tokens | {"auto_map": {"AutoTokenizer": ["mine.Mine", None]}})
    with refused("hub_model.refuse_code", "tokenizer_config.json", "auto_map"):
        run(place, tmp_path, "classify", "labels.csv", Classify(**FAST), base)
    write_json(base / "tokenizer_config.json", tokens)
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "peft", None)
        without.delattr(tfidf, "choose")  # the first work of all
        with refused("peft_library", "peft"):
            run(place, tmp_path, "classify", "labels.csv", Classify(**FAST, lora_rank=2), base)
    weights.rename(base / "pytorch_model.bin")
    with refused("export.weight_files.2", "model.safetensors", "pytorch_model.bin"):
        run(place, tmp_path, "classify", "labels.csv", Classify(**FAST), base)
    config = settings_of(Classify(**FAST), 9, "finetune.classify")
    with refused("refuse_beyond", "3 GB", "2 GB", "cpu", "finetune.classify"):
        refuse_beyond(TrainingForecast(3 * 10**9, 1.0), config, Numerics(), limit=2 * 10**9)


@pytest.mark.parametrize(
    ("labels", "says"), [(["Lima", "Oslo"], "is tuned on"), (["no", "perhaps", "yes"], "gives way")]
)
def test_a_classifier_is_a_base_and_what_is_known_of_it_goes_into_the_model(
    labels: list[str], says: str, place: Path, tmp_path: Path
) -> None:
    """Its head is kept where it has as many labels; generation refuses it."""
    base = save_tiny("bert", (place / "masked/tokenizer.json").read_text(), 500, tmp_path / "base")
    names: dict[str, Any] = {"id2label": dict(enumerate(labels)), "label2id": {one: n for n, one in enumerate(labels)}}
    made = transformers.AutoModelForSequenceClassification.from_pretrained(base, **names)
    made.save_pretrained(base)
    refuses(lambda: export.load(base), "export.inspected.6", base)
    shape, problem = export.inspected(base, any_head=True)[0], "single_label_classification"
    model = hub_model.load_classifier(base, shape, 1, 1, ["Lima", "Oslo"], problem)
    old, new = made.state_dict(), model.module.state_dict()
    is_kept = torch.equal(new["classifier.weight"], old["classifier.weight"][:2])
    assert is_kept == (says == "is tuned on")
    assert model.fresh == ["classifier.weight", "classifier.bias"], "LoRA trains it too"
    assert all(torch.equal(new[name], old[name]) for name in old if name.startswith("bert."))
    write_json(base / "source.json", {"name": "them/bert", "revision": "c0ffee"})
    (base / "README.md").write_text("---\nlicense: apache-2.0\n---\n# BERT\n")
    report = run(place, tmp_path, "classify", "labels.csv", Classify(**FAST | {"steps": 1}), base)
    assert re.search(rf"The base is a classifier: its head \({', '.join(labels)}\) {says}", report.markdown)
    assert "finetune.classify.learning_rate is 0.003, and a base made elsewhere mostly wants 2e-5" in report.markdown
    facts = json.loads((tmp_path / "out/greenhouse.json").read_text())["finetuning"]
    assert facts["base_name"] == "them/bert"
    assert (facts["base_revision"], facts["base_licence"]) == ("c0ffee", "apache-2.0")

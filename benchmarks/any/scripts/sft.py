"""TRL's SFTTrainer on lines of a text, with a llama of two layers; under the recorder its losses are in the record."""

import json
import sys
from pathlib import Path

from datasets import Dataset
from tokenizers import ByteLevelBPETokenizer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed
from trl import SFTConfig, SFTTrainer

from greenhouse_record.callback import RecordCallback

CONFIG = json.loads(Path(sys.argv[1]).read_text())


def main() -> None:
    texts = [path.read_text() for path in sorted(Path("data").iterdir())]
    rows = [row for text in texts for row in text.split("\n\n") if row.strip()]
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(rows, vocab_size=512, special_tokens=["<end>"], show_progress=False)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe._tokenizer, eos_token="<end>", pad_token="<end>")
    set_seed(CONFIG["seed"])  # the Trainer does so too, but after the weights are drawn
    shape = LlamaConfig(vocab_size=512, hidden_size=CONFIG["width"], intermediate_size=4 * CONFIG["width"],
                        num_hidden_layers=2, num_attention_heads=4)  # fmt: skip
    arguments = SFTConfig(
        output_dir="model", max_steps=CONFIG["steps"], save_steps=10, logging_steps=5, seed=CONFIG["seed"],
        per_device_train_batch_size=CONFIG["batch"], max_length=CONFIG["context"], report_to=[], use_cpu=True,
        bf16=False, disable_tqdm=True, save_total_limit=2, learning_rate=CONFIG["rate"],
    )  # fmt: skip
    data = Dataset.from_dict({"text": rows})
    trainer = SFTTrainer(LlamaForCausalLM(shape), arguments, train_dataset=data, processing_class=tokenizer,
                         callbacks=[RecordCallback(data="data")])  # fmt: skip
    trainer.train(resume_from_checkpoint=any(Path("model").glob("checkpoint-*")))
    trainer.save_model()


main()

"""MiniLM tuned on 256 news stories, labelled by Reuters' staff, by transformers' Trainer, beside `base` and `data`."""

import csv
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments, set_seed

from greenhouse_record.callback import RecordCallback

LENGTH = 64


def rows(name: str) -> list[tuple[str, str]]:
    """Label and text of each story."""
    with open(Path("data") / name, encoding="utf-8", newline="") as file:
        return [(row["label"], row["text"]) for row in csv.DictReader(file)]


def accuracy(scored: Any) -> dict[str, float]:
    """Share of stories whose label is the model's first choice."""
    return {"accuracy": float((scored.predictions.argmax(-1) == scored.label_ids).mean())}


def main() -> None:
    """Tune, evaluate on stories that were not tuned on, save."""
    torch.set_num_threads(1)
    set_seed(1)
    train, test = rows("train.csv"), rows("test.csv")
    labels = sorted({label for label, _ in train})
    tokenizer = AutoTokenizer.from_pretrained("base")
    names = {"id2label": dict(enumerate(labels)), "label2id": {label: at for at, label in enumerate(labels)}}
    model = AutoModelForSequenceClassification.from_pretrained("base", num_labels=len(labels), **names)

    def encoded(part: list[tuple[str, str]]) -> list[dict[str, Any]]:
        ids = tokenizer([text for _, text in part], truncation=True, max_length=LENGTH, padding="max_length")
        return [
            {"input_ids": a, "attention_mask": b, "labels": labels.index(label)}
            for a, b, (label, _) in zip(ids["input_ids"], ids["attention_mask"], part, strict=True)
        ]

    arguments = TrainingArguments(
        "model", num_train_epochs=3, per_device_train_batch_size=16, learning_rate=1e-4, use_cpu=True, seed=1,
        save_strategy="no", logging_steps=16, report_to=[], disable_tqdm=True,
    )  # fmt: skip
    trainer = Trainer(
        model, arguments, train_dataset=encoded(train), eval_dataset=encoded(test), compute_metrics=accuracy,
        callbacks=[RecordCallback(["data", "base"])],
    )  # fmt: skip
    trainer.train()
    trainer.evaluate()
    trainer.save_model()
    tokenizer.save_pretrained("model")
    trainer.save_state()


if __name__ == "__main__":
    main()

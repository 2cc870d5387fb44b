"""The callback in a Trainer of transformers, and MLflow told of the run."""

from pathlib import Path

import mlflow
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

from greenhouse_record.callback import RecordCallback
from greenhouse_record.record import changes, read


def test_a_trainers_run_is_recorded_to_the_model_that_is_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setattr("atexit.register", lambda function: function)
    (tmp_path / "data").write_text("some text")
    config = LlamaConfig(vocab_size=16, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1)
    rows = [{"input_ids": torch.arange(8), "labels": torch.arange(8)}] * 8
    arguments = TrainingArguments("model", max_steps=4, logging_steps=2, save_steps=2, use_cpu=True, report_to=[])
    callback = RecordCallback(data="data")
    trainer = Trainer(LlamaForCausalLM(config), arguments, train_dataset=rows, callbacks=[callback])
    trainer.train()
    trainer.save_model()
    with mlflow.start_run():
        callback.close()
    (path,) = (tmp_path / ".greenhouse/records").glob("*.jsonl")
    (attempt,) = read(path).attempts
    assert attempt.outcome == "Completed"
    assert [line["step"] for line in attempt.of["log"] if "loss" in line] == [2, 4]
    assert changes(attempt.outputs, tmp_path, tmp_path / "model") == []
    assert "model/model.safetensors" in (attempt.outputs)
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    runs = client.search_runs([one.experiment_id for one in client.search_experiments()])
    (run,) = (one for one in runs if one.data.tags.get("greenhouse_record") == path.stem)
    assert run.data.metrics["loss"] == attempt.of["log"][1]["loss"]

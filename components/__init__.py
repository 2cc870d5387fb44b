"""What the flows do: plain Python on files and tensors. Nothing here imports Prefect, MLflow or DVC."""

"""Plain Python on files and tensors: what the flows do. Nothing here imports Prefect, MLflow or DVC."""

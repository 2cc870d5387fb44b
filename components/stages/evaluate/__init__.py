"""Stage `evaluate`: score the models on held-out text and generated tasks."""

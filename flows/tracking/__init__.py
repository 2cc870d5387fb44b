"""Layer 2: MLflow runs and models, progress, what a run left."""

"""Layer 4: how a stage and a pipeline run."""

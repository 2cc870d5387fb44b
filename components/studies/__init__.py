"""Studies beside the pipeline: scaling, choices of data, promotion gate, step cost."""

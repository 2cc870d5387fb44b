"""Studies beside the pipeline: scaling, mitigation, promotion gate, step cost."""

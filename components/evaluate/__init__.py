"""One file per question asked of a model, and the statistics that bound the answers."""

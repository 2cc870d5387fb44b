"""The ten stages, one package each: `stage.py` is the pure function. No stage imports another."""

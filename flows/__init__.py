"""Prefect flows: thin. Each file is one verb of the house; `stage.py` holds what all stage flows share."""

"""Scores of counting rules, which need no neural network, on the items of a row; one registry (`registry.py`)."""

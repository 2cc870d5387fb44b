"""What counting scores on the items of a row: rules that need no neural network, in one registry (`registry.py`)."""

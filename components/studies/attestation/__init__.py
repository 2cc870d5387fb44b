"""Statements of a signed folder on a model, each file a pure function of the records (`Claims`), and their verdict."""

"""What a signed folder says of a model, each file a pure function of what was recorded (`Claims`), and its verdict."""

"""The Transformer, causal and bidirectional; export to and from `transformers`; generation."""

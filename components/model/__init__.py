"""The Transformer: one block, causal and bidirectional; export to and from `transformers`; generation."""

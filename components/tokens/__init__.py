"""Tokenizer, encoder and token shards."""

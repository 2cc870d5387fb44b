"""Stage `pretrain`: causal and masked language models."""

"""One training loop: objectives causal, masked and sft; optimizer, schedule, loader, checkpoint."""

"""One training loop: objectives, optimizer, schedule, data order, checkpoints, parallel training."""

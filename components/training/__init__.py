"""One training loop: objectives, optimizer, schedule, order of data, checkpoints, processes."""

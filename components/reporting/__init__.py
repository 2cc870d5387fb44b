"""What reports share: figures and CSV tables."""

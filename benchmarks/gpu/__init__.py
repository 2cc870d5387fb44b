"""The GPU path without a GPU, and its check on one (`gpu`, `gpu-check`)."""

"""Rows people bring for fine-tuning: read and checked, split, and written as token ids."""

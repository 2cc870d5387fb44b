"""Text of others in many scripts: what the filter loses and keeps of it. One module a part, see `__main__`."""

"""Shared foundations: errors, files, stage reports and progress, worker pools."""

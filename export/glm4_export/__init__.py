"""Checkpoint to model directory, in one command."""

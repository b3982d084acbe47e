"""Checkpoints: where they come from, their layouts, tensors and texts."""

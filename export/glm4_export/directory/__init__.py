"""A model directory in the making: its place, its manifest, its card, and its upload."""

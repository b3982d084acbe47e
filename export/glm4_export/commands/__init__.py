"""The commands that make model directories."""

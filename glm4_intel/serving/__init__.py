"""The server: the APIs that clients speak, and an engine in a process of its own."""

"""A process that may do next to nothing, for code that a model wrote: what the kernel has of walls, all put up."""

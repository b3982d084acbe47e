"""Commands of the runtime itself; each module has add_arguments(parser) and run(args) -> int."""

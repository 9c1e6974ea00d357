"""The command line: a file per command, each with `add`, which declares its arguments, and `run`, which does the work."""

"""The command line: options in, wiring, exit codes out."""

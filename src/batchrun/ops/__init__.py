"""What a worker does to files and commands on this machine, one family of operations per file."""

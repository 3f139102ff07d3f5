"""The engine: what runs units and accounts for them; it knows no YAML, terminal or disk format."""

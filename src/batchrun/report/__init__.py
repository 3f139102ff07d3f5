"""What people and programs see of a run: events in, text, JSON and progress out."""

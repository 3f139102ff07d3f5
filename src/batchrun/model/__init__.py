"""What batchrun talks about: pure data and pure functions, standard library only."""

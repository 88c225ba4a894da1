"""What people write after one, two or three words, counted, and what the model makes of it."""

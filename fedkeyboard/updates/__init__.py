"""What phones send: the file, which of them count, and the round that they make."""

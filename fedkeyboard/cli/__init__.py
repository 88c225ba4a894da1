"""The command line: it puts the parts together and holds no logic of its own."""

"""What a phone does with a package: suggests and learns, through LiteRT."""

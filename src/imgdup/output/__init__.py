"""Results -> what people and other programs read."""

"""Learn a dictionary from positive pairs."""

"""PinText: one word-embedding dictionary from engagement, carried to retrieval."""

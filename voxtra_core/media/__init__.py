"""Audio, and what carries it."""

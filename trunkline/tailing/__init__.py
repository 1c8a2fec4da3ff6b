"""Read a topic from a place of one's choice, to its end or for as long as it grows."""

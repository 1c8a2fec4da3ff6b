"""What happens to each topic's events: one module for a topic or a duty."""

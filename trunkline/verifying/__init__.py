"""``trunkline verify``: every pattern of the seed, with real worker processes on a real Kafka."""

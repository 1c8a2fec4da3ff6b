"""Benchmarks: ratios in one run, contestants interleaved, on a real Kafka."""

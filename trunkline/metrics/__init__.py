"""``/metrics``: what a worker counts, for Prometheus. Read when it is asked for, never before."""

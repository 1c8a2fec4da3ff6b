"""OpenTelemetry traces, an extra: nothing of it is imported unless it is asked for."""

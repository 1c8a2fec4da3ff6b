"""TLS and SASL towards Kafka: what was set, what clients need of it, and why a broker refuses."""

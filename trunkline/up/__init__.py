"""Run the whole system on one machine: what ``scripts/up`` does."""

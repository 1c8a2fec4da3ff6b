"""Long runs with faults: real services, events that fail, kills, and an account to the last one."""

"""What three brokers and their workers stand: a scenario each, on one cluster of the whole run.

Each scenario publishes over HTTP and stores in SQL, in real processes, while something breaks, and
then accounts for every event. What it saw goes to ``.trunkline/cluster-faults.txt``.
"""

"""Chaos with an oracle: pods, disks and the broker die at random, and nothing may be lost.

Every attempt's outcome is a pure function of seed, group, event and attempt (``fates.py``), so the
oracle knows how each event must end in each group, and compares that with what the pods' journals,
the dead letters and the database say.

    .venv/bin/python -m tests.chaos --events 100000 --keys 1000 --minutes 10 --seed 7

``tests/integration/test_chaos.py`` runs a short form.
"""

"""The failure laboratory: failures staged for real, and what must become of each.

A scenario (scenario.py) says how the world misbehaves, which workflow meets it, and what must
happen; the modules scenarios_*.py have them, `SCENARIOS` (catalogue.py) all of them. bench.py runs
them on one platform, all at the same time; measures.py sums up. `docs/laboratory.md` has the table.
"""

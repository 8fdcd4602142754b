"""Benchmarks: `python -m bench.NAME`, or `make bench NAME=…`; `QUICK=1` measures for 3 s each.

The last line that each prints is `RESULT` and a JSON object with its keys.
"""

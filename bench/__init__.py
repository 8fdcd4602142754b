"""Benchmarks: `make bench` runs all, `make bench NAME=engine` one, `QUICK=1` each in under 45 s.

Each is a module (`python -m bench.engine`) with `main`, which starts servers of its own in a
folder that it removes, prints its figures for people, and as its last line `RESULT` and a JSON
object; `MEANING` says what its keys stand for. `bench.__main__` knows them all.
"""

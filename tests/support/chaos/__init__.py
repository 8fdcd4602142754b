"""Chaos: the whole platform on real servers, above its capacity, while everything fails.

Run by `make chaos`. Read in this order: happenings.py (what is done to the platform), story.py
(one run, from the first trigger to the verdict), __main__.py (the command line).
"""

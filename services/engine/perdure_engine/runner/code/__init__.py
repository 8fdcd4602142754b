"""Code of authors: run in a process of its own that is limited, and killed at its limit.

Read next: running.py (the parent), child_python.py and child_javascript.py (the children),
confined.py (what a child takes from itself before it reads a word of the code).
"""

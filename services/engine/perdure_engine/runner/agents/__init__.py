"""Agents: a language model with tools, each step of it written down before and after.

Read next: agent.py (the loop), journal.py (what is not done twice), tools.py (what the model may
call), models.py (whose API is spoken), libraries.py (what is loaded late for it), failures.py
(what went wrong, as facts), outputs.py (what an answer must hold to), limits.py (steps, tokens,
money).
"""

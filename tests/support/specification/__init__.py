"""What a workflow means, written down a second time: small, slow, and by recursion.

The engine runs a workflow event by event; this evaluates it scope by scope, from the rules
alone, and shares no code with it. `evaluate` says what each run emits and how the execution
ends. What the rules leave to others is given as a `World`: what a runner answers, who won a
race, what was told to those who wait, what people settled by hand. What follows from that is the
specification's. What depends on the order of answers alone (which of two failures was first, how
far siblings had got) it does not say. Pauses, restarts, retries and duplicates are not in it at
all: they change nothing of what a workflow means. Read in this order:

words.py    the vocabulary: scopes, items, meanings, and the world that is given
graph.py    the shape of a workflow, by brute force: links, regions, what leads where
scopes.py   all that runs in one scope, in topological order; races; child executions
regions.py  loops of all kinds: the same function for each of their iterations
nodes.py    what one node makes of its items, its error mode, what each connection carries
"""

from .scopes import evaluate
from .words import CONDITIONS, At, Child, Endless, Items, Meaning, Said, Scope, Stopped, World

__all__ = [
    "CONDITIONS",
    "At",
    "Child",
    "Endless",
    "Items",
    "Meaning",
    "Said",
    "Scope",
    "Stopped",
    "World",
    "evaluate",
]

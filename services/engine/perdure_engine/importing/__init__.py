"""Workflows of other systems as definitions of ours. Pure.

`n8n.py` reads a file of n8n: each node becomes one or more of ours (`kinds*.py` say which), what
has no counterpart a placeholder, and everything that is not as it was has a typed reason.
Read next: n8n.py, source.py (a node of n8n), texts.py (its expressions), conditions.py, kinds.py.
"""

from .n8n import Imported, Reason, import_n8n

__all__ = ["Imported", "Reason", "import_n8n"]

"""The node subtypes that this version runs, one file each, and how to find them.

Read next: `base` (what a subtype says about itself), then any subtype, such as `flow_if`,
and `errors` (what becomes of failed items).
"""

from .registry import SPECIFICATIONS, find

__all__ = ["SPECIFICATIONS", "find"]

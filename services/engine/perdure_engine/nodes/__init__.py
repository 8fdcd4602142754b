"""The node subtypes that this version runs, one file each, and how to find them.

Read next: `base` (what a subtype says about itself), then any subtype: `flow_if`.
"""

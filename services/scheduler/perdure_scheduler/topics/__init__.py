"""Records of foreign topics as trigger events: the edge of KAFKA triggers.

Read next: record.py (from a record to an event), ingress.py (reading, positions, what deployments
wait for), troubles.py (why a topic cannot be read).
"""

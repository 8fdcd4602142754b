"""What people and programs ask of deployments and triggers by HTTP, beside the tables.

What is written goes as a command by the bus, as that of the command line does, and its outcome is
waited for. Read next: ground.py (what a group is given), deployments.py, triggers.py, clocks.py.
"""

from . import clocks, deployments, triggers
from .ground import Ground, ground_of

__all__ = ["Ground", "add_all", "ground_of"]


def add_all(ground: Ground) -> None:
    """Add every group of endpoints."""
    deployments.add(ground)
    triggers.add(ground)
    clocks.add(ground)

"""How long recovery's rows are kept: one table, and what each kind of row gets of it.

A row carries the instant until which it is kept, and `cleanup_old_recovery_data` drops those
past theirs. What is still open, and patterns that came more than once, are kept for good.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

SHORT: Final = timedelta(days=90)
"""Patterns that came once; attempts that helped; explanations of all but failed attempts."""
LONG: Final = timedelta(days=180)
"""Attempts that failed, with their explanations, were refused or not made; episodes."""
FOREVER: Final = datetime(9999, 1, 1, tzinfo=UTC)
"""What is open, or frequent."""

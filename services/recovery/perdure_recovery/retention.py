"""How long recovery's rows are kept: one table, and what each kind of row gets of it.

A row carries the instant until which it is kept, and `cleanup_old_recovery_data` drops those
past theirs. What is still open, and patterns that came more than once, are kept for good.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

SHORT: Final = timedelta(days=90)
"""Patterns that came once; attempts that helped; explanations of them and of refusals."""
LONG: Final = timedelta(days=180)
"""Attempts that did not help or were refused; explanations of failed ones; episodes."""
FOREVER: Final = datetime(9999, 1, 1, tzinfo=UTC)
"""What is open, or frequent."""

"""Checks the promises of a service on what is there: its journal, its marks and the topics.

Everything is read as a stream and forgotten, so that any amount of data can be checked while
the service works. The same checks run on PostgreSQL with Kafka (`perdure verify`) and on what
a simulation leaves in memory. Read in this order:

finding.py   what a check finds: which promise, where, what, and what to do about it
archive.py   what is looked at: a store, the marks of its shards, the journal by stream
journal.py   I4, I6, I7 and what the service itself knows of its streams (I1, I2, I8, I13, I14)
published.py I5: topics have what the journal says, in its order, and nothing else
remade.py    the messages that the journal makes, for I5
consumed.py  I10: what was read was applied, had before, or is a dead letter
traces.py    what records have left in journals, for I10
rebuilt.py   I3 in memory: the tables are what the journal makes of them
postgres.py  the archive of a service in PostgreSQL
memory.py    the archive of a service in memory
"""

from perdure_common.verify.archive import Archive, Marks, Topics
from perdure_common.verify.finding import Findings, Violation

__all__ = ["Archive", "Findings", "Marks", "Topics", "Violation"]

"""The imperative shell: everything around a pure core, once for all services.

Reads records, lets the cores decide, writes one transaction for each batch, publishes
after the commit. Read in this order:

ports.py      the store and the bus that the shell stands on
codec.py      messages as bytes, and the numbers that chain them
shard.py      what an owner keeps in memory of a shard
intake.py     a record becomes a command, a duplicate, a gap or a dead letter
fold.py       a batch of commands becomes rows, marks and messages
part.py       what a batch is made of, shard by shard; snapshots.py writes states down
parking.py    a stream that is poison waits for a person, its messages in order behind it
remake.py     what was unsent before a crash is made again from the journal
publisher.py  messages leave in order, after the commit
due.py        when a wake may fire
lane.py       the loop: gather, fold, commit, publish; pace.py says how soon again
pressure.py   what a process may hold, and when new starts wait
catching.py   what a restored shard reads first
owner.py      who owns which shard: group, claims, shutdown
"""

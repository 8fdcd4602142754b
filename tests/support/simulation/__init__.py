"""The whole platform in one process, in virtual time; one seed decides everything.

The services and runners are the real ones; what they stand on is in memory and goes wrong as
the seed says. `make simulate SEEDS=n` runs many, `SEED=k` one. Read in this order:

loop.py     virtual time, and processes that can be paused and killed at any point
broker.py   Kafka: topics, groups, sends that fail, come late, come twice, or are lost
stores.py   PostgreSQL: commits whose answer is lost, or that land late; leases of runners
outside.py  the world outside: requests that fail, and effects counted by their key
agents.py   a model and tools for agents, and the journal of their steps
others.py   people and memory: who answer at once, late, twice, or never
hooks.py    senders of webhooks, and the listener that takes them
load.py     the users: workflows, trigger events, cancels, deployments
trouble.py  what goes wrong, and when
restoring.py  a backup that is put back while Kafka goes on
watch.py    what must hold at every step, and the trace; attempts.py, wakes.py and admission.py are
            parts of it
stage.py    the processes and their supervisor
run.py      a run: safety (faults to the end) or liveness (faults end, all comes to rest)
judge.py    what must hold at the end; answers.py is a part of it
mutants.py  defects that a run must find; more of them in mutants_beside.py
"""

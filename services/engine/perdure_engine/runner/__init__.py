"""The runner: the engine's second process, where nodes touch the outside world.

Hears  engine.node-task.v1
Says   engine.node-result.v1
Keeps  node_claims (who runs what, until when)

Nothing here decides what happens next: a result is an answer to one attempt, settled by
its token. Read next: work.py (how tasks are taken, run and answered), claims.py (leases),
http_request.py (the first kind of work).
"""

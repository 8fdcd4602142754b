"""The other systems that `bench.peers` measures, and how it measures them.

`installing` makes their environments, `subjects` their stacks. `dbos_app`, `restate_app` and
`driving` (the load and the stop-watch) run in those environments, which have nothing of perdure's.
"""

"""Recovery: failures in; verdicts, lessons and explanations out.

Hears  engine.node-failed, engine.node-recovered, engine.node-errored and the ends of
       executions; shell.dead-lettered on every `.dlt` topic; the commands recovery.set-mode
       and recovery.redrive-dead-letter, and its own notes to patterns, lines, incidents
       and allowances; engine.attempt-due, engine.dependency-calls, the answers of people
Says   engine.recovery-verdict (retry, hold or give up), engine.retry-node, recovery.* events,
       recovery.breaker-turned to the runners, hil.request-interaction, shell.unpark
Keeps  recovery_attempts, recovery_explanations, failure_patterns, recovery_modes,
       recovery_breakers, recovery_incidents, recovery_allowances, recovery_records,
       dead_letters

A failure is scrubbed and signed (`hear`, `signature`), recognised (`classify`), believed
passing or lasting (`transience`), given a strategy (`strategy`), held against the guard
rails (`guard`), decided and explained (`decide`, `explain`); then the engine is told.

Streams: the execution id. Not one for each node, because the caps hold across all nodes of
an execution, and only one stream can promise that. Patterns, modes and dead letters are
small streams of their own, each whole in one file.

Read next: decide.py (the story of a failure), outcomes.py (how it ends), guard.py (what
forbids), strategies.py (what can be done), parking.py (what waits), project.py (what you can
query). docs/recovery.md says how decisions are made and how to add to them.
"""

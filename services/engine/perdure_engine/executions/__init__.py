"""The streams of executions: what runs next, what is waited for, how it ends.

Hears  engine.start-execution.v1, engine.node-result.v1, engine.recovery-verdict.v1,
       engine.retry-node.v1, engine.cancel-execution.v1
Says   engine.execution-*.v1, engine.node-*.v1; engine.node-task.v1 to the runners
Keeps  workflow_executions, node_executions, workflow_execution_logs

Read next: state.py (what is remembered), decide.py (what each command leads to),
running.py (what is ready), finishing.py (how a node run ends), dispatching.py (what the runner is
sent), attempts.py (what becomes of it), ending.py (how an execution ends).
"""

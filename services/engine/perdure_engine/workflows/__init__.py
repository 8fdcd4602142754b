"""The streams of definitions: one for each workflow, a frozen version for each change.

Hears  engine.save-workflow.v1; what the scheduler says of deployments (as NoteDeployment)
Says   engine.workflow-saved.v1, engine.deployment-noted.v1
Keeps  workflows, workflow_versions, nodes and node_connections (the draft)

Read next: decide.py (what is refused, what makes a version), project.py (what can be read).
"""

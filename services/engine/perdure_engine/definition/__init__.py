"""What a workflow is: its model, how it is read, what can be wrong with it.

Read next: `model` (nodes, edges, numbers), `loading` (from a frozen version to a model),
`validation` (every problem at once), `graph`.
"""

"""The streams of values that are kept from one execution to the next.

Hears  engine.set-variable.v1, engine.delete-variable.v1; engine.update-static-data.v1
Says   engine.variable-set.v1, engine.variable-deleted.v1; engine.static-data-updated.v1;
       engine.note-answer.v1 to executions that changed static data
Keeps  variables, workflow_static_data

Variables (`$vars`) are a stream for each workspace, static data one for each workflow. Executions
read the rows when they begin and have what they read in their journal from then on.
Read next: variables.py, static_data.py; deciders.py puts them together.
"""

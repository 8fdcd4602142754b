"""The streams of templates: definitions that workflows begin from.

Hears  engine.save-template.v1, engine.retire-template.v1
Says   engine.template-saved.v1, engine.template-retired.v1
Keeps  workflow_templates

Read next: decide.py (what is refused).
"""

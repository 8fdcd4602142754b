"""The streams of gates: who may run now, and who waits for a slot.

Hears  engine.request-slot.v1, engine.release-slot.v1
Says   engine.note-slot.v1 and engine.cancel-execution.v1 to executions
Keeps  admission_gates

Read next: state.py (what is remembered, and who is next), decide.py (what a request leads to).
"""

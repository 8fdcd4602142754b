"""The HTTP side of triggers: what others send to paths becomes trigger events.

listener.py   the order in which a request is judged, and what is answered
routes.py     who listens under a path; secrets.py what they verify by
verify.py     signatures, on the bytes as they came               pure
body.py       bodies as data                                      pure
reading.py    what a request of GitHub or Slack is about           pure
receipts.py   which request came first, and the event's way to Kafka
answers.py    waits for what an execution answers
trials.py     test URLs
serve.py      port, server, metrics
"""

"""Mails as trigger events: fetched from mailboxes by IMAP, or taken by an SMTP listener.

Both ways end on `perdure.triggers.v1`, one event for each recipient, with ids that follow from the
mail: what is read twice after a crash starts nothing twice. Nothing else of the scheduler
waits for a mail server. Read next: parsing.py (what is in a mail), shown.py (what an execution
sees of it), loops.py (which mails start nothing), outlet.py (from mails to events), imap.py and
mailboxes.py, smtp.py.
"""

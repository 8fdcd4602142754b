"""Which mails start nothing: what programs send by themselves, or a workflow would answer itself.

RFC 3834 (5.) asks programs that answer mails to leave these alone. Pure.
"""

from .parsing import Mail

PRECEDENCES = ("bulk", "junk", "list", "auto_reply")
SENDERS = ("mailer-daemon", "postmaster")


def refusal(mail: Mail, envelope_from: str | None = None) -> str | None:
    """Return why a mail starts nothing, None if it may.

    `envelope_from` is the sender that the SMTP client named, "" for a bounce, None if unknown.
    """
    submitted = mail.header("auto-submitted").partition(";")[0].strip().lower()
    if submitted and submitted != "no":
        return f"a program sent it (Auto-Submitted: {submitted[:50]})"
    precedence = mail.header("precedence").strip().lower()
    if precedence in PRECEDENCES:
        return f"it goes to many or answers by itself (Precedence: {precedence})"
    if mail.header("x-auto-response-suppress") or mail.header("x-autoreply"):
        return "it answers by itself (X-Autoreply)"
    if mail.content_type == "multipart/report":
        return "it reports on another mail (multipart/report)"
    if envelope_from == "" or mail.header("return-path").replace(" ", "") == "<>":
        return "it is a bounce: nobody can be answered (empty envelope sender)"
    senders = [address for _, address in mail.addresses("from")]
    if any(address.partition("@")[0] in SENDERS for address in senders):
        return "a mail server sent it"
    return None

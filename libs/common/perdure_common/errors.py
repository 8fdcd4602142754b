"""What all errors have in common that are told to people as they are."""


class Told(Exception):
    """Its text says in a sentence what is wrong, where, and what to do.

    `code` is a reason in snake_case, stable for programs. `exit_code` ends a command line with it:
    1, what was asked for did not happen; 2, it was asked for in the wrong way.
    """

    code: str = "failed"
    exit_code: int = 1

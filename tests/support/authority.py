"""A certificate authority of a test's own."""

from pathlib import Path

import trustme


class Authority:
    """An authority, and the certificate with its key that it gave to a server, as files in PEM."""

    def __init__(self, folder: Path, host: str = "localhost") -> None:
        authority = trustme.CA()
        given = authority.issue_cert(host)
        self.trusted, self.certificate = folder / "authority.pem", folder / "server.pem"
        authority.cert_pem.write_to_path(str(self.trusted))
        # The authority's comes last: the server's own must be the first in the file.
        parts = (given.private_key_pem, *given.cert_chain_pems, authority.cert_pem)
        self.certificate.write_bytes(b"".join(part.bytes() for part in parts))

"""Certificates of tests: authorities, and what they sign, as PEM files."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)


class Authority:
    """A certificate authority with a folder for what it signs.

    Attributes:
        ca_file: Its own certificate.

    """

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self.folder = folder
        self._ca = trustme.CA(organization_name=name)
        self.ca_file = folder / f"{name}.pem"
        self._ca.cert_pem.write_to_path(self.ca_file)

    def issue(
        self,
        name: str,
        *hosts: str,
        expired: bool = False,
        starts_in_days: int = 0,
        password: str = "",
    ) -> tuple[Path, Path]:
        """Return the files of a certificate (with its chain) and of its key (PKCS 8).

        Args:
            name: Its common name, and the name of the files.
            hosts: Names and addresses that it is for; for a client any will do.
            expired: Whether its time is over.
            starts_in_days: When its time begins.
            password: What the key is encrypted with.

        """
        now = dt.datetime.now(dt.UTC)
        made = self._ca.issue_cert(
            *(hosts or (f"{name}.test",)),
            common_name=name,
            not_before=now + dt.timedelta(days=starts_in_days - 10),
            not_after=now + dt.timedelta(days=starts_in_days + (-1 if expired else 30)),
        )
        cert, key = self.folder / f"{name}.crt.pem", self.folder / f"{name}.key.pem"
        cert.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
        loaded = load_pem_private_key(made.private_key_pem.bytes(), None)
        encryption = BestAvailableEncryption(password.encode()) if password else NoEncryption()
        key.write_bytes(loaded.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
        return cert, key

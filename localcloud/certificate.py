"""Makes a certificate authority and a server certificate for this machine, on the spot."""

import ipaddress
import os
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import certifi
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFETIME = timedelta(days=90)
_RENEWED_BEFORE_END = timedelta(days=7)
# Certificates are compared with clocks of other programs, which may be a little behind.
_BACKDATING = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """PEM files by which local servers prove that they are 127.0.0.1 and localhost.

    Attributes:
        chain: The server's certificate, then the authority's.
        key: The server's private key, readable by the owner only.
        bundle: The authority, and the public ones of certifi: for ``REQUESTS_CA_BUNDLE``.
    """

    chain: Path
    key: Path
    bundle: Path


def prepare_certificate(folder: Path, *, now: datetime) -> Certificate:
    """Return the folder's certificate; make one if it has none that lasts another week.

    The authority's own key is thrown away: nothing else can ever be signed with it.

    Args:
        folder: Where the files lie; made if absent.
        now: The time, aware.
    """
    certificate = Certificate(
        chain=folder / "server.pem", key=folder / "server.key", bundle=folder / "bundle.pem"
    )
    if not _lasts(certificate, now + _RENEWED_BEFORE_END):
        folder.mkdir(parents=True, exist_ok=True)
        _make(certificate, now)
    return certificate


def _lasts(certificate: Certificate, until: datetime) -> bool:
    """Tell whether all files are there, whole, of one making, and good until then."""
    try:
        chain = certificate.chain.read_bytes()
        leaf, authority = x509.load_pem_x509_certificates(chain)
        bundle = authority.public_bytes(Encoding.PEM) + Path(certifi.where()).read_bytes()
        # Fails unless the key is that of the certificate.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate.chain, certificate.key)
        is_whole = certificate.bundle.read_bytes() == bundle
    except (OSError, ValueError):
        return False
    return is_whole and leaf.not_valid_after_utc > until


def _make(certificate: Certificate, now: datetime) -> None:
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority_name = _name("Coldforge local authority")
    authority = (
        _builder(authority_name, authority_name, authority_key, now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = (
        _builder(_name("localhost"), authority_name, key, now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.SubjectAlternativeName(
                [
                    x509.DNSName("localhost"),
                    x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
                    x509.IPAddress(ipaddress.ip_address("::1")),
                ]
            ),
            critical=False,
        )
        # Python 3.13's strict verification asks for it.
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
            critical=False,
        )
        .sign(authority_key, hashes.SHA256())
    )
    authority_pem = authority.public_bytes(Encoding.PEM)
    certificate.bundle.unlink(missing_ok=True)
    _write_private(
        certificate.key,
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )
    certificate.chain.write_bytes(leaf.public_bytes(Encoding.PEM) + authority_pem)
    unfinished = certificate.bundle.with_suffix(".part")
    unfinished.write_bytes(authority_pem + Path(certifi.where()).read_bytes())
    unfinished.replace(certificate.bundle)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now.astimezone(UTC) - _BACKDATING)
        .not_valid_after(now.astimezone(UTC) + _LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write_private(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)

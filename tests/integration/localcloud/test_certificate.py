"""The certificate that local servers show."""

import os
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import certifi
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from localcloud.certificate import prepare_certificate

NOW = datetime(2026, 5, 1, tzinfo=UTC)


class TestPrepareCertificate:
    def test_is_trusted_by_its_bundle_for_this_machine(self, tmp_path):
        made = prepare_certificate(tmp_path, now=NOW)

        server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        server.load_cert_chain(made.chain, made.key)
        leaf, authority = x509.load_pem_x509_certificates(made.chain.read_bytes())
        leaf.verify_directly_issued_by(authority)
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == ["localhost"]
        assert "127.0.0.1" in map(str, names.get_values_for_type(x509.IPAddress))
        bundled = ssl.create_default_context(cafile=made.bundle).get_ca_certs(binary_form=True)
        assert authority.public_bytes(Encoding.DER) in bundled
        assert len(bundled) > 50

    def test_keeps_its_key_to_itself(self, tmp_path):
        made = prepare_certificate(tmp_path, now=NOW)

        assert os.stat(made.key).st_mode & 0o077 == 0

    def test_is_used_again_while_it_lasts_another_week(self, tmp_path):
        first = prepare_certificate(tmp_path, now=NOW).chain.read_bytes()

        assert prepare_certificate(tmp_path, now=NOW).chain.read_bytes() == first
        much_later = NOW + timedelta(days=84)
        assert prepare_certificate(tmp_path, now=much_later).chain.read_bytes() != first

    def test_is_made_again_when_a_file_is_missing_or_broken(self, tmp_path):
        made = prepare_certificate(tmp_path, now=NOW)
        made.chain.write_text("broken")

        again = prepare_certificate(tmp_path, now=NOW)

        assert x509.load_pem_x509_certificates(again.chain.read_bytes())

    @pytest.mark.parametrize("name", ["server.pem", "server.key", "bundle.pem"])
    @pytest.mark.parametrize("how", ["half", "zeros", "empty"])
    def test_is_made_anew_where_a_power_cut_tore_it(self, tmp_path, name, how):
        made = prepare_certificate(tmp_path, now=NOW)
        whole = (tmp_path / name).read_bytes()
        torn = {"half": whole[: len(whole) // 2], "zeros": bytes(len(whole)), "empty": b""}
        (tmp_path / name).write_bytes(torn[how])

        again = prepare_certificate(tmp_path, now=NOW)

        assert again == made
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(again.chain, again.key)
        assert again.bundle.read_bytes().endswith(Path(certifi.where()).read_bytes())

"""HTTPS with a certificate of our own making."""

import datetime
import http.client
import ipaddress
import ssl
import urllib.request

import httpx
import openai
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from conftest import DENSE, PATIENCE, TEXTS, Server, close, models


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A certificate for this machine that signs itself, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "embedkit")])
    now = datetime.datetime.now(datetime.timezone.utc)
    hour = datetime.timedelta(hours=1)
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - hour)
        .not_valid_after(now + 24 * hour)
        .add_extension(here, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(key.private_bytes(pem, form, plain))
    return folder


@pytest.fixture(scope="module")
def encrypted(files):
    """A server of HTTPS."""
    paths = ["--tls-cert", str(files / "cert.pem"), "--tls-key", str(files / "key.pem")]
    with Server([*models(DENSE), *paths]) as running:
        assert running.url.startswith("https://127.0.0.1:")
        yield running


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_that_trusts_the_certificate_is_answered(encrypted, files, library, version):
    trust = ssl.create_default_context(cafile=files / "cert.pem")
    trust.minimum_version = trust.maximum_version = version
    client = openai.OpenAI(
        base_url=f"{encrypted.url}/v1",
        api_key="any",
        http_client=httpx.Client(verify=trust, timeout=PATIENCE),
    )
    response = client.embeddings.create(model=DENSE, input=TEXTS)
    close([item.embedding for item in response.data], library.dense(TEXTS))


def test_a_client_that_does_not_trust_it_gets_nothing(encrypted):
    with pytest.raises(urllib.error.URLError, match="certificate verify failed"):
        urllib.request.urlopen(f"{encrypted.url}/health", timeout=PATIENCE)


def test_plain_http_gets_no_answer_and_harms_nobody(encrypted, files):
    plain = http.client.HTTPConnection("127.0.0.1", encrypted.port, timeout=PATIENCE)
    plain.request("GET", "/health")
    with pytest.raises((http.client.HTTPException, OSError)):
        plain.getresponse()
    trust = ssl.create_default_context(cafile=files / "cert.pem")
    with urllib.request.urlopen(f"{encrypted.url}/health", timeout=PATIENCE, context=trust) as ok:
        assert ok.status == 200


def test_old_versions_of_the_protocol_are_refused(encrypted, files):
    old = ssl.create_default_context(cafile=files / "cert.pem")
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((urllib.error.URLError, ssl.SSLError)):
        urllib.request.urlopen(f"{encrypted.url}/health", timeout=PATIENCE, context=old)

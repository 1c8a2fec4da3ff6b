"""TLS and SASL by settings: what clients are given, and what is said when they do not fit."""

from __future__ import annotations

import os
import ssl

import pytest

from tests.support.certificates import Authority
from trunkline.cli import main
from trunkline.errors import ConfigurationError
from trunkline.settings import load_settings

SECRET = "s3cret-of-ours"


@pytest.fixture(autouse=True)
def _no_kafka_settings(monkeypatch):
    for name in [name for name in os.environ if name.startswith("KAFKA_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def given(monkeypatch):
    """Return what sets variables, by their names after ``KAFKA_``, and reads the settings."""

    def read(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(f"KAFKA_{name}", str(value))
        return load_settings()

    return read


def test_plaintext_is_the_default(given):
    """Nothing set: aiokafka's own default."""
    assert given(BOOTSTRAP_SERVERS="k:9092").connection.options() == {
        "bootstrap_servers": ["k:9092"]
    }


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_a_user_and_a_password_over_tls(given, authority, mechanism):
    """The context trusts only the authority that was named, and checks the host name."""
    options = given(
        SECURITY_PROTOCOL="SASL_SSL",
        SSL_CA_FILE=authority.ca_file,
        SASL_MECHANISM=mechanism,
        SASL_USERNAME="engine",
        SASL_PASSWORD=SECRET,
    ).connection.options()

    assert options["security_protocol"] == "SASL_SSL"
    assert options["sasl_mechanism"] == mechanism
    assert (options["sasl_plain_username"], options["sasl_plain_password"]) == ("engine", SECRET)
    context = options["ssl_context"]
    assert [dict(sum(c["subject"], ()))["organizationName"] for c in context.get_ca_certs()] == [
        "ca"
    ]
    assert context.check_hostname
    assert context.verify_mode == ssl.CERT_REQUIRED


def test_all_clients_of_a_process_share_one_context(given, authority):
    """Files are read once; another set of servers changes nothing of that."""
    settings = given(SECURITY_PROTOCOL="SSL", SSL_CA_FILE=authority.ca_file)
    copied = settings.model_copy(update={"kafka_bootstrap_servers": "other:1"})

    contexts = {id(s.connection.options()["ssl_context"]) for s in (settings, settings, copied)}

    assert len(contexts) == 1
    assert copied.connection.servers == ("other:1",)


def test_secrets_come_from_files_too(given, authority, tmp_path):
    """A mounted secret often ends with a line feed, which is not part of it."""
    _, key = authority.issue("encrypted", password="open")
    cert, _ = key.with_name("encrypted.crt.pem"), key
    (tmp_path / "password").write_text(f"{SECRET}\n")
    (tmp_path / "key-password").write_text("open\n")

    options = given(
        SECURITY_PROTOCOL="SASL_SSL",
        SSL_CERT_FILE=cert,
        SSL_KEY_FILE=key,
        SSL_KEY_PASSWORD_FILE=tmp_path / "key-password",
        SASL_MECHANISM="PLAIN",
        SASL_USERNAME="u",
        SASL_PASSWORD_FILE=tmp_path / "password",
    ).connection.options()

    assert options["sasl_plain_password"] == SECRET


async def test_a_token_file_is_read_for_each_connection(given, tmp_path):
    """Whoever keeps it fresh replaces it while the process runs."""
    file = tmp_path / "token"
    file.write_text("first\n")
    provider = given(
        SECURITY_PROTOCOL="SASL_PLAINTEXT", SASL_MECHANISM="OAUTHBEARER", SASL_OAUTH_TOKEN_FILE=file
    ).connection.options()["sasl_oauth_token_provider"]

    tokens = [await provider.token()]
    file.write_text("second")
    tokens.append(await provider.token())

    assert tokens == ["first", "second"]


USER = {"SASL_USERNAME": "u", "SASL_PASSWORD": SECRET}
SCRAM = {"SECURITY_PROTOCOL": "SASL_SSL", "SASL_MECHANISM": "SCRAM-SHA-512"}
OAUTH = {"SECURITY_PROTOCOL": "SASL_SSL", "SASL_MECHANISM": "OAUTHBEARER"}
WRONG = {
    "protocol": ({"SECURITY_PROTOCOL": "TLS"}, "KAFKA_SECURITY_PROTOCOL='TLS'"),
    "mechanism": ({**SCRAM, "SASL_MECHANISM": "SCRAM", **USER}, "KAFKA_SASL_MECHANISM='SCRAM'"),
    "no mechanism": ({"SECURITY_PROTOCOL": "SASL_SSL", **USER}, "KAFKA_SASL_MECHANISM is not set"),
    "no user": ({**SCRAM, "SASL_PASSWORD": SECRET}, "KAFKA_SASL_USERNAME is not set"),
    "no password": ({**SCRAM, "SASL_USERNAME": "u"}, "KAFKA_SASL_PASSWORD is not set"),
    "two passwords": (
        {**SCRAM, **USER, "SASL_PASSWORD_FILE": "/f"},
        "KAFKA_SASL_PASSWORD and KAFKA_SASL_PASSWORD_FILE are both set",
    ),
    "user without SASL": (
        {"SECURITY_PROTOCOL": "SSL", **USER},
        "KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD have no effect: KAFKA_SECURITY_PROTOCOL is SSL",
    ),
    "password, protocol forgotten": (
        {"SASL_PASSWORD": SECRET},
        "KAFKA_SASL_PASSWORD has no effect: KAFKA_SECURITY_PROTOCOL is PLAINTEXT. Set KAFKA_SEC",
    ),
    "authority without TLS": (
        {"SSL_CA_FILE": "/ca.pem"},
        "KAFKA_SSL_CA_FILE has no effect: KAFKA_SECURITY_PROTOCOL is PLAINTEXT",
    ),
    "no such authority": (
        {"SECURITY_PROTOCOL": "SSL", "SSL_CA_FILE": "/nowhere/ca.pem"},
        "KAFKA_SSL_CA_FILE=/nowhere/ca.pem: cannot be read (No such file or directory)",
    ),
    "no PEM file": (
        {"SECURITY_PROTOCOL": "SSL", "SSL_CA_FILE": __file__},
        f"KAFKA_SSL_CA_FILE={__file__}: it is no PEM file of certificates",
    ),
    "key without certificate": (
        {"SECURITY_PROTOCOL": "SSL", "SSL_KEY_FILE": "/k.pem"},
        "KAFKA_SSL_CERT_FILE is not set",
    ),
    "no such password file": (
        {**SCRAM, "SASL_USERNAME": "u", "SASL_PASSWORD_FILE": "/nowhere/p"},
        "KAFKA_SASL_PASSWORD_FILE=/nowhere/p: cannot be read",
    ),
    "no token": (OAUTH, "set one of KAFKA_SASL_OAUTH_TOKEN_FILE and KAFKA_SASL_OAUTH_TOKEN_URL"),
    "no client": ({**OAUTH, "SASL_OAUTH_TOKEN_URL": "http://i"}, "CLIENT_ID is not set"),
    "token and user": ({**OAUTH, **USER, "SASL_OAUTH_TOKEN_FILE": "/f"}, "have no effect"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_is_named(given, case):
    """The variable, what is wrong with it, and never a secret."""
    variables, said = WRONG[case]

    with pytest.raises(ConfigurationError) as refused:
        given(**variables)

    assert said in str(refused.value)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"expired": True}, "the certificate expired on"),
        ({"starts_in_days": 20}, "the certificate is valid only from"),
        (
            {"password": SECRET},
            "encrypted, and KAFKA_SSL_KEY_PASSWORD (or its _FILE) is not",
        ),
    ],
)
def test_a_certificate_of_ours_that_will_not_do_is_named_at_the_start(given, authority, how, said):
    """A broker would only close the connection."""
    cert, key = authority.issue("bad", **how)

    with pytest.raises(ConfigurationError) as refused:
        given(SECURITY_PROTOCOL="SSL", SSL_CERT_FILE=cert, SSL_KEY_FILE=key)

    assert said in str(refused.value)
    assert str(cert) in str(refused.value) or str(key) in str(refused.value)


def test_a_key_must_belong_to_its_certificate(given, authority):
    """Both files are named."""
    cert, _ = authority.issue("one")
    _, key = authority.issue("two")

    with pytest.raises(ConfigurationError, match="does not belong to the certificate"):
        given(SECURITY_PROTOCOL="SSL", SSL_CERT_FILE=cert, SSL_KEY_FILE=key)


def test_a_wrong_key_password_does_not_ask_at_the_terminal(given, authority):
    """OpenSSL would."""
    cert, key = authority.issue("locked", password="right")

    with pytest.raises(ConfigurationError, match="is wrong") as refused:
        given(
            SECURITY_PROTOCOL="SSL", SSL_CERT_FILE=cert, SSL_KEY_FILE=key, SSL_KEY_PASSWORD=SECRET
        )

    assert SECRET not in str(refused.value)


def test_no_secret_in_any_representation(given):
    """Settings and connections are logged and shown; secrets are not."""
    settings = given(SECURITY_PROTOCOL="SASL_PLAINTEXT", SASL_MECHANISM="PLAIN", **USER)
    settings = settings.model_copy(update={"database_url": f"postgresql://u:{SECRET}@h/d"})
    shown = [repr(settings), str(settings), repr(settings.connection), f"{settings.connection}"]

    assert not any(SECRET in text for text in shown)


def test_a_command_ends_with_exit_status_2(monkeypatch, capsys):
    """A wrong setting is the user's mistake: no traceback."""
    monkeypatch.setenv("KAFKA_SASL_PASSWORD", SECRET)
    monkeypatch.setattr("sys.argv", ["trunkline", "topics", "plan"])

    with pytest.raises(SystemExit) as ended:
        main()

    said = "".join(capsys.readouterr())
    assert ended.value.code == 2
    assert "KAFKA_SASL_PASSWORD has no effect" in said
    assert SECRET not in said

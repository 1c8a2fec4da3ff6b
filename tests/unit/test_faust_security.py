"""What Faust's own clients are given for TLS and SASL is what our others are given."""

from __future__ import annotations

import ssl

import pytest
from aiokafka.abc import AbstractTokenProvider
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

from trunkline.connection import KafkaConnection
from trunkline.delivery.faust_security import faust_credentials

CONTEXT = ssl.create_default_context()


class Tokens(AbstractTokenProvider):
    async def token(self):
        return "t"


TOKENS = Tokens()
USER = {"sasl_plain_username": "u", "sasl_plain_password": "p"}


@pytest.mark.parametrize(
    "security",
    [
        {"security_protocol": "SSL", "ssl_context": CONTEXT},
        {
            "security_protocol": "SASL_SSL",
            "ssl_context": CONTEXT,
            "sasl_mechanism": "SCRAM-SHA-512",
            **USER,
        },
        {
            "security_protocol": "SASL_PLAINTEXT",
            "ssl_context": None,
            "sasl_mechanism": "PLAIN",
            **USER,
        },
        {
            "security_protocol": "SASL_SSL",
            "ssl_context": CONTEXT,
            "sasl_mechanism": "OAUTHBEARER",
            "sasl_oauth_token_provider": TOKENS,
        },
    ],
    ids=lambda security: security.get("sasl_mechanism", "SSL"),
)
def test_faust_hands_aiokafka_the_same_options(security):
    """Through Faust's credentials and back, nothing is lost or changed."""
    credentials = faust_credentials(KafkaConnection(("k:9092",), security))

    assert credentials_to_aiokafka_auth(credentials) == security


def test_plaintext_needs_no_credentials():
    """Faust's default stays."""
    assert faust_credentials(KafkaConnection.plaintext("k:9092")) is None

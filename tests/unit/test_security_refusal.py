"""Why a broker refuses us, without a Kafka: its certificate, and what is no broker at all."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager

import pytest

from tests.support.certificates import Authority
from trunkline.connection import KafkaConnection
from trunkline.errors import BrokerError, RefusedError
from trunkline.topics.connecting import no_answer


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


async def _hang_up(_, writer):
    writer.close()


@asynccontextmanager
async def serving(cert, key):
    """A TLS server that hangs up on everybody; yields its port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    server = await asyncio.start_server(_hang_up, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def ask(port, ca_file):
    context = ssl.create_default_context(cafile=ca_file)
    security = {"security_protocol": "SSL", "ssl_context": context}
    return await no_answer(KafkaConnection((f"127.0.0.1:{port}",), security))


@pytest.mark.parametrize(
    ("hosts", "how", "said"),
    [
        (("127.0.0.1",), {"expired": True}, "its certificate has expired: renew it on the broker"),
        (("127.0.0.1",), {"starts_in_days": 20}, "its certificate is not valid yet"),
        (("kafka.test",), {}, "its certificate is for another host than 127.0.0.1"),
    ],
    ids=["expired", "not yet", "other host"],
)
async def test_a_certificate_that_will_not_do_is_named(authority, hosts, how, said):
    """And whose it is: the broker's."""
    async with serving(*authority.issue("broker", *hosts, **how)) as port:
        refused = await ask(port, authority.ca_file)

    assert isinstance(refused, RefusedError)
    assert said in str(refused)


async def test_a_certificate_of_another_authority_is_named(authority, tmp_path):
    """With the setting that says whom we trust."""
    other = Authority(tmp_path, "other")
    async with serving(*authority.issue("broker", "127.0.0.1")) as port:
        refused = await ask(port, other.ca_file)

    assert isinstance(refused, RefusedError)
    assert "set KAFKA_SSL_CA_FILE to the certificate of the cluster's authority" in str(refused)


async def test_who_hangs_up_may_be_starting(authority):
    """That is no refusal for sure: a worker goes on waiting."""
    async with serving(*authority.issue("broker", "127.0.0.1")) as port:
        away = await ask(port, authority.ca_file)

    assert isinstance(away, BrokerError)
    assert not isinstance(away, RefusedError)

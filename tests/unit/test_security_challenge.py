"""A broker's refusal of a token comes to the client, by the steps that aiokafka takes."""

from __future__ import annotations

import pytest
from aiokafka.errors import SaslAuthenticationFailed

from trunkline.security.challenge import OAuthAuthenticator

CHALLENGE = b'{"status":"invalid_token"}'


class Provider:
    """A source of tokens that keeps one for a while."""

    forgotten = 0

    async def token(self):
        return "t0ken"

    def forget(self):
        self.forgotten += 1


@pytest.fixture
def provider():
    return Provider()


@pytest.fixture
def authenticator(provider):
    return OAuthAuthenticator(sasl_oauth_token_provider=provider)


async def test_a_token_that_is_taken_ends_it(authenticator, provider):
    sent, wants_answer = await authenticator.step(None)
    assert b"auth=Bearer t0ken" in sent
    assert wants_answer
    assert await authenticator.step(b"") is None
    assert not provider.forgotten


async def test_a_challenge_is_acknowledged_and_the_token_forgotten(authenticator, provider):
    """The broker answers the acknowledgement with its error, which aiokafka raises."""
    await authenticator.step(None)
    assert await authenticator.step(CHALLENGE) == (b"\x01", True)
    assert provider.forgotten == 1


@pytest.mark.parametrize("answer", [b"", CHALLENGE])
async def test_a_broker_that_says_no_more_has_refused_it_too(authenticator, answer):
    """Else the client would count as authenticated, and be parted with at its next request."""
    await authenticator.step(None)
    await authenticator.step(CHALLENGE)
    with pytest.raises(SaslAuthenticationFailed, match="invalid_token"):
        await authenticator.step(answer)

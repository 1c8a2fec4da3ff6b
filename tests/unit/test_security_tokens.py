"""Tokens of an OAuth 2.0 endpoint: asked for once a life, and its refusals said in words."""

from __future__ import annotations

import ssl

import pytest
from aiohttp import encode_basic_auth, web

from trunkline.security.tokens import ClientCredentials, TokenError

SECRET = "s3cret-of-ours"


@pytest.fixture
async def endpoint():
    """A token endpoint that answers what ``answers`` says, and keeps what it was asked."""
    asked, answers = [], []

    async def give(request):
        asked.append((request.headers["Authorization"], dict(await request.post())))
        status, body = answers[min(len(asked), len(answers)) - 1]
        return web.json_response(body, status=status)

    application = web.Application()
    application.router.add_post("/token", give)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0]
    yield f"http://{host}:{port}/token", asked, answers
    await runner.cleanup()


def credentials(url, scope=None):
    return ClientCredentials(
        url, "engine", SECRET, scope=scope, context=ssl.create_default_context()
    )


async def test_a_token_is_used_until_most_of_its_life_is_over(endpoint):
    """Many connections at once do not ask for many tokens; one that is old is not shown."""
    url, asked, answers = endpoint
    answers += [
        (200, {"access_token": "long", "expires_in": 3600}),
    ]
    provider = credentials(url, scope="kafka")

    tokens = [await provider.token() for _ in range(3)]

    assert tokens == ["long"] * 3
    assert asked == [
        (
            encode_basic_auth("engine", SECRET),
            {"grant_type": "client_credentials", "scope": "kafka"},
        )
    ]


async def test_an_old_token_is_replaced(endpoint):
    """A life of nothing is over at once."""
    url, _, answers = endpoint
    answers += [(200, {"access_token": name, "expires_in": 1e-6}) for name in ("first", "second")]
    provider = credentials(url)

    assert [await provider.token(), await provider.token()] == ["first", "second"]


async def test_a_token_that_a_broker_refused_is_replaced(endpoint):
    """Whoever signs tokens may have changed its keys."""
    url, _, answers = endpoint
    answers += [(200, {"access_token": name, "expires_in": 300}) for name in ("first", "second")]
    provider = credentials(url)

    tokens = [await provider.token(), await provider.token()]
    provider.forget()

    assert [*tokens, await provider.token()] == ["first", "first", "second"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((401, {"error": "invalid_client"}), r"answers 401 \(invalid_client\); see KAFKA_SASL_O"),
        ((500, []), "answers 500"),
    ],
)
async def test_a_refusal_is_said_without_the_secret(endpoint, answer, said):
    """The status, the server's own code, and which variables to look at."""
    url, _, answers = endpoint
    answers.append(answer)

    with pytest.raises(TokenError, match=said) as refused:
        await credentials(url).token()

    assert SECRET not in str(refused.value)


async def test_an_endpoint_that_is_away_is_named():
    """By its variable."""
    with pytest.raises(TokenError, match="No token from KAFKA_SASL_OAUTH_TOKEN_URL: Cannot conn"):
        await credentials("http://127.0.0.1:9/token").token()

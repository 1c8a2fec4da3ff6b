"""Who may do what over HTTP: token, loopback, other sites, sessions, headers."""

from __future__ import annotations

import ipaddress
import re

import pytest

from tests.support.console import TOKEN, Deeds, served
from trunkline.errors import ConfigurationError
from trunkline.settings import load_settings
from trunkline.web.safety.access import Access
from trunkline.web.safety.hosts import client_address, host_name, is_loopback
from trunkline.web.safety.limits import SignInLimits
from trunkline.web.safety.sessions import COOKIE, Sessions

BEARER = {"Authorization": f"Bearer {TOKEN}"}
ANYWHERE = {"web_host": "0.0.0.0"}
NOTE = "/api/deeds/note"


class Clock:
    """Time that a test moves."""

    def __init__(self):
        self.now = 1_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def deeds():
    return Deeds()


async def status(client, method, path, **options):
    answer = await client.request(method, path, allow_redirects=False, **options)
    await answer.read()
    return answer.status


# -- without a token


async def test_on_loopback_all_is_allowed(deeds):
    """Whoever sits at the machine reads, publishes and acts."""
    async with served(deeds) as client:
        assert await status(client, "GET", "/console/deeds") == 200
        assert await status(client, "GET", "/api/deeds") == 200
        assert await status(client, "POST", "/events/a", json={}) == 202
        assert await status(client, "POST", NOTE, json={"text": "x"}) == 200


async def test_elsewhere_it_is_read_only_without_a_token(deeds, caplog):
    """Reading and publishing go on; acting is refused with what to set, and the log says so."""
    async with served(deeds, **ANYWHERE) as client:
        assert await status(client, "GET", "/api/deeds") == 200
        assert await status(client, "POST", "/events/a", json={}) == 202
        answer = await client.post(NOTE, json={"text": "x"})
        assert answer.status == 403
        assert "Set TRUNKLINE_TOKEN" in (await answer.json())["error"]["message"]
        assert "read-only" in await (await client.get("/console/deeds")).text()
    assert [what for _, what in deeds.done] == ["published"]
    assert "whoever reaches it reads payloads" in caplog.text


@pytest.mark.parametrize(
    "header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "X-Forwarded-Host", "Via"]
)
async def test_what_a_proxy_passes_on_is_not_from_loopback(deeds, header):
    """A proxy on the same machine must not open the door to everybody."""
    async with served(deeds) as client:
        assert await status(client, "POST", NOTE, json={}, headers={header: "203.0.113.9"}) == 403
    assert not deeds.done


@pytest.mark.parametrize("host", ["evil.example", "evil.example:6066", "127.0.0.1.evil.example"])
async def test_a_foreign_host_name_is_refused(deeds, host):
    """DNS rebinding: a page elsewhere that points its own name here can neither read nor act."""
    async with served(deeds) as client:
        assert await status(client, "GET", "/api/deeds", headers={"Host": host}) == 421
        assert await status(client, "POST", NOTE, json={}, headers={"Host": host}) == 421
        assert await status(client, "POST", "/events/a", json={}, headers={"Host": host}) == 421
    assert not deeds.done


@pytest.mark.parametrize("host", ["localhost:6066", "127.0.0.1", "[::1]:6066", "app.localhost"])
async def test_loopback_has_several_names(deeds, host):
    """All of them are this machine."""
    async with served(deeds) as client:
        assert await status(client, "POST", NOTE, json={}, headers={"Host": host}) == 200


async def test_a_configured_name_is_known_but_not_loopback(deeds):
    """TRUNKLINE_WEB_HOSTS lets a name in; to act, it takes a token."""
    async with served(deeds, web_hosts="console.example") as client:
        headers = {"Host": "console.example"}
        assert await status(client, "GET", "/api/deeds", headers=headers) == 200
        assert await status(client, "POST", NOTE, json={}, headers=headers) == 403


# -- with a token


@pytest.mark.parametrize("settings", [{}, ANYWHERE], ids=["loopback", "elsewhere"])
async def test_a_token_is_needed_for_everything_but_probes_and_scrapers(deeds, settings):
    """Also on loopback: who set one means it."""
    async with served(deeds, token=TOKEN, **settings) as client:
        assert await status(client, "GET", "/health/live") == 200
        assert await status(client, "GET", "/health/ready") == 200
        for path in ("/stats", "/api/deeds", "/api/jobs/x", "/anything"):
            assert await status(client, "GET", path) == 401
            assert await status(client, "GET", path, headers=BEARER) in {200, 404}
        for path in (NOTE, "/events/a"):
            assert await status(client, "POST", path, json={}) == 401
            assert await status(client, "POST", path, json={}, headers=BEARER) in {200, 202}
    assert len(deeds.done) == 2


@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer wrong",
        "Bearer",
        "Bearer ",
        f"Basic {TOKEN}",
        TOKEN,
        f"Bearer {TOKEN}x",
        "Bearer \xfc",
    ],
)
async def test_a_wrong_token_is_refused(deeds, authorization):
    """401 says how to send it, and not what it is."""
    async with served(deeds, token=TOKEN) as client:
        answer = await client.post("/events/a", json={}, headers={"Authorization": authorization})
        text = await answer.text()
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="trunkline"'
        assert "Authorization: Bearer" in text
        assert TOKEN not in text
    assert not deeds.done


async def test_who_sends_a_token_says_their_name(deeds):
    """The name reaches the action, cut and printable."""
    async with served(deeds, token=TOKEN) as client:
        headers = {**BEARER, "X-Trunkline-User": "ada" + "x" * 100}
        await client.post(NOTE, json={}, headers=headers)
    assert deeds.done == [("ada" + "x" * 57, "")]


async def test_probes_may_ask_by_any_host_name(deeds):
    """A kubelet asks by the pod's address."""
    async with served(deeds, token=TOKEN, web_hosts="console.example", **ANYWHERE) as client:
        headers = {"Host": "10.1.2.3:6066"}
        assert await status(client, "GET", "/health/live", headers=headers) == 200
        assert await status(client, "GET", "/stats", headers={**headers, **BEARER}) == 421


# -- other sites


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "nonsense"},
    ],
    ids=str,
)
async def test_posts_of_other_sites_are_refused(deeds, headers):
    """Whatever makes a browser send them; with the token or a session as well."""
    async with served(deeds, token=TOKEN) as client:
        for path in (NOTE, "/events/a", "/console/sign-in", "/console/sign-out"):
            both = {**headers, **BEARER}
            assert await status(client, "POST", path, json={}, headers=both) == 403
    assert not deeds.done


async def test_posts_of_our_own_pages_are_taken(deeds):
    """They have our own origin."""
    async with served(deeds) as client:
        origin = f"http://127.0.0.1:{client.port}"
        headers = {"Origin": origin, "Sec-Fetch-Site": "same-origin"}
        assert await status(client, "POST", NOTE, json={}, headers=headers) == 200


async def test_a_form_of_another_page_cannot_act(deeds):
    """What needs no preflight is no JSON, and refused for it."""
    async with served(deeds) as client:
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
            headers = {"Content-Type": kind}
            assert await status(client, "POST", NOTE, data=b"{}", headers=headers) == 415
    assert not deeds.done


async def test_a_session_acts_only_from_a_page(deeds):
    """With a cookie, and neither Origin nor Sec-Fetch-Site, no browser sent it that has ours."""
    async with served(deeds, token=TOKEN) as client:
        await client.post("/console/sign-in", data={"token": TOKEN})
        assert await status(client, "POST", NOTE, json={}) == 403
        headers = {"Sec-Fetch-Site": "same-origin"}
        assert await status(client, "POST", NOTE, json={}, headers=headers) == 200


# -- signing in


async def test_signing_in_and_out(deeds):
    """The page asks for the token, leads back, and the cookie opens the rest until it is taken."""
    async with served(deeds, token=TOKEN) as client:
        answer = await client.get("/console/deeds?name=x", allow_redirects=False)
        assert answer.status == 303
        where = answer.headers["Location"]
        assert where == "/console/sign-in?next=%2Fconsole%2Fdeeds%3Fname%3Dx"
        form = await (await client.get(where)).text()
        assert 'value="/console/deeds?name=x"' in form
        assert "read-only" not in form
        fields = {"token": TOKEN, "name": "Ada", "next": "/console/deeds"}
        answer = await client.post("/console/sign-in", data=fields, allow_redirects=False)
        assert (answer.status, answer.headers["Location"]) == (303, "/console/deeds")
        cookie = answer.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert TOKEN not in cookie
        assert await status(client, "GET", "/console/deeds") == 200
        here = {"Sec-Fetch-Site": "same-origin"}
        await client.post(NOTE, json={"text": "hi"}, headers=here)
        assert deeds.done == [("Ada", "hi")]
        kept = client.session.cookie_jar.filter_cookies(client.make_url("/"))[COOKIE].value
        assert await status(client, "POST", "/console/sign-out", headers=here) == 303
        assert await status(client, "GET", "/console/deeds") == 303
        # Also for whoever has copied the cookie.
        headers = {"Cookie": f"{COOKIE}={kept}"}
        assert await status(client, "GET", "/api/deeds", headers=headers) == 401


async def test_the_cookie_is_for_https_alone_behind_https(deeds):
    """A proxy says that it was."""
    async with served(deeds, token=TOKEN) as client:
        answer = await client.post(
            "/console/sign-in",
            data={"token": TOKEN},
            headers={"X-Forwarded-Proto": "https"},
            allow_redirects=False,
        )
        assert "Secure" in answer.headers["Set-Cookie"]


@pytest.mark.parametrize(
    "wrong", ["", "mistaken", TOKEN[:-1], TOKEN.upper(), "\ud7ff" * 30, "x" * 9000]
)
async def test_signing_in_with_a_wrong_token(deeds, wrong, caplog):
    """It says so, gives no cookie, and logs the address but not what was tried."""
    async with served(deeds, token=TOKEN) as client:
        answer = await client.post("/console/sign-in", data={"token": wrong})
        assert answer.status == 403
        assert "Set-Cookie" not in answer.headers
        assert "That is not the token." in await answer.text()
    assert "127.0.0.1" in caplog.text
    assert not wrong or wrong not in caplog.text


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/console",
        "//evil.example/console",
        "/\\evil.example",
        "/events",
        "/console\r\nX: y",
        "javascript:alert(1)",
        "/console/sign-in",
        "/consoles",
    ],
)
async def test_signing_in_leads_nowhere_else(deeds, target):
    """``next`` is a path of the console, or it is ignored."""
    async with served(deeds, token=TOKEN) as client:
        answer = await client.post(
            "/console/sign-in", data={"token": TOKEN, "next": target}, allow_redirects=False
        )
        assert answer.headers["Location"] == "/console"


async def test_a_session_ends_by_itself(deeds):
    """After TRUNKLINE_SIGN_IN_HOURS."""
    clock = Clock()
    async with served(deeds, clock=clock, token=TOKEN, sign_in_hours=1) as client:
        await client.post("/console/sign-in", data={"token": TOKEN})
        clock.now += 3599
        assert await status(client, "GET", "/api/deeds") == 200
        clock.now += 2
        assert await status(client, "GET", "/api/deeds") == 401


async def test_a_link_from_another_site_finds_the_session(deeds):
    """A strict cookie does not come with it: the page asks itself again, from here."""
    async with served(deeds, token=TOKEN) as client:
        answer = await client.get("/console/deeds", headers={"Sec-Fetch-Site": "cross-site"})
        assert answer.status == 200
        assert 'http-equiv="refresh"' in await answer.text()


def test_a_session_cannot_be_made_up():
    """Changed, cut, signed by another token, or too long: none of ours."""
    clock = Clock()
    ours = Sessions(TOKEN, 60, clock)
    cookie = ours.begin("ada")
    assert ours.read(cookie).name == "ada"
    assert Sessions(TOKEN, 60, clock).read(cookie).name == "ada", "another worker takes it"
    body, _, signature = cookie.partition(".")
    forged = [
        "",
        ".",
        body,
        f"{body}.",
        f".{signature}",
        f"{body}.{signature[:-2]}AA",
        f"{body}A.{signature}",
        Sessions("another-token-of-enough", 60, clock).begin("ada"),
        "ü." + signature,
        "x" * 5000,
    ]
    assert [ours.read(cookie) for cookie in forged] == [None] * len(forged)


# -- rate limit


async def test_signing_in_is_limited_per_address(deeds):
    """Ten tries a minute; then also the right token waits, and is taken later."""
    clock = Clock()
    async with served(deeds, clock=clock, token=TOKEN) as client:
        assert await status(client, "GET", "/api/deeds", headers=BEARER) == 200
        tries = [
            await status(client, "POST", "/console/sign-in", data={"token": "no"})
            for _ in range(11)
        ]
        assert tries == [403] * 10 + [429]
        answer = await client.post("/console/sign-in", data={"token": TOKEN})
        assert (answer.status, answer.headers["Retry-After"]) == (429, "6")
        assert await status(client, "GET", "/api/deeds", headers=BEARER) == 200
        clock.now += 6
        assert await status(client, "POST", "/console/sign-in", data={"token": TOKEN}) == 303


async def test_wrong_bearer_tokens_are_limited_like_signing_in(deeds):
    """Ten a minute; then all tokens wait, and a session goes on."""
    clock = Clock()
    wrong = {"Authorization": "Bearer no"}
    async with served(deeds, clock=clock, token=TOKEN) as client:
        tries = [await status(client, "GET", "/api/deeds", headers=wrong) for _ in range(11)]
        assert tries == [401] * 10 + [429]
        answer = await client.post(NOTE, json={"text": "x"}, headers=BEARER)
        assert (answer.status, answer.headers["Retry-After"]) == (429, "6")
        assert "wait 6 s. Nothing was done" in await answer.text()
        assert await status(client, "POST", "/console/sign-in", data={"token": TOKEN}) == 429
        clock.now += 6
        assert await status(client, "GET", "/api/deeds", headers=BEARER) == 200
    assert deeds.done == []


async def test_nobody_locks_publishers_out_by_guessing_beside_them(deeds):
    """Where the right token came from lately, wrong ones are refused and nobody waits."""
    clock = Clock()
    async with served(deeds, clock=clock, token=TOKEN) as client:
        assert await status(client, "GET", "/api/deeds", headers=BEARER) == 200
        wrong = {"Authorization": "Bearer no"}
        assert [await status(client, "GET", "/api/deeds", headers=wrong) for _ in range(20)] == (
            [401] * 20
        )
        assert await status(client, "GET", "/api/deeds", headers=BEARER) == 200


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["6.6.6.6, 198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["6.6.6.6", "198.51.100.7, 10.9.9.9"], "198.51.100.7"),
        ("::ffff:10.0.0.1", ["[2001:db8::1]:443"], "2001:db8::1"),
        ("10.0.0.1", ["198.51.100.7:1234"], "198.51.100.7"),
        ("10.0.0.1", ["10.1.1.1,10.2.2.2"], "10.1.1.1"),
        ("10.0.0.1", ["6.6.6.6, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["6.6.6.6,"], "10.0.0.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("192.0.2.1", ["198.51.100.7"], "192.0.2.1"),
        ("?", ["198.51.100.7"], "?"),
    ],
)
def test_only_trusted_proxies_say_where_a_request_came_from(peer, forwarded, address):
    """The right-most address that is no proxy: what stands left of it anybody may have written."""
    networks = [ipaddress.ip_network("10.0.0.0/8")]
    assert client_address(peer, forwarded, networks) == address
    assert client_address(peer, forwarded, []) == peer


async def test_tries_behind_a_proxy_are_counted_apart(deeds):
    """Only when the proxy is trusted: else the header would be a way around the limit."""

    async def tries(client):
        path, data = "/console/sign-in", {"token": "no"}
        hops = [{"X-Forwarded-For": f"198.51.100.{n % 2}"} for n in range(12)]
        return [await status(client, "POST", path, data=data, headers=hop) for hop in hops]

    async with served(deeds, token=TOKEN, trusted_proxies="127.0.0.1") as client:
        assert await tries(client) == [403] * 12
        forwarded = {"X-Forwarded-For": "198.51.100.9", **BEARER}
        await client.post(NOTE, json={"text": "x"}, headers=forwarded)
        assert deeds.addresses == ["198.51.100.9"]
    async with served(deeds, token=TOKEN) as client:
        assert (await tries(client))[-2:] == [429, 429]


def test_a_wrong_network_is_explained():
    """The variable, the value, and how one is written."""
    with pytest.raises(ConfigurationError, match=r"TRUSTED_PROXIES.*10\.0\.0\.0/8"):
        load_settings(trusted_proxies="10.0.0.1/8")


def test_signing_in_is_limited_in_all():
    """Many addresses together have a hundred tries a minute; IPv6 counts by its /64."""
    clock = Clock()
    limits = SignInLimits(clock)
    waits = [limits.wait_s(f"10.0.{n // 250}.{n % 250}") for n in range(101)]
    assert waits == [0] * 100 + [1]
    clock.now += 60
    assert [limits.wait_s(f"2001:db8::{n:x}") for n in range(11)] == [0] * 10 + [6]


def test_the_limits_forget_addresses():
    """Memory stays bounded, whoever asks."""
    clock = Clock()
    limits = SignInLimits(clock, in_all=10**9)
    for number in range(20_500):
        limits.wait_s(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(limits._by_address) <= 10_000


# -- headers


async def test_every_answer_has_the_headers(deeds):
    """Pages, JSON, errors and refusals alike."""
    async with served(deeds) as client:
        for path in (
            "/console/deeds",
            "/api/deeds",
            "/api/nothing",
            "/nothing",
            "/stats",
            "/health/live",
        ):
            headers = (await client.get(path)).headers
            policy = headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Referrer-Policy"] == "same-origin"
            assert headers["Cache-Control"] == "no-store"
            assert "aiohttp" not in headers["Server"]


async def test_pages_have_no_script_or_style_of_their_own(deeds):
    """The policy would keep them from working."""
    async with served(deeds) as client:
        html = await (await client.get("/console/deeds")).text()
    assert not re.search(r"<style|style=|<script(?![^>]* src=)|\son[a-z]+=", html)


# -- settings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"token": "short"}, "TRUNKLINE_TOKEN=…: the token has 5 characters"),
        ({"token": "has a space in the middle"}, "must be ASCII, without spaces"),
        ({"token_file": "/nowhere/token"}, "cannot be read from this file: No such file"),
    ],
)
def test_a_wrong_token_setting_is_explained(settings, message):
    """It says what is wrong, and shows nothing of the token."""
    with pytest.raises(ConfigurationError) as raised:
        load_settings(**settings)
    assert message in str(raised.value)
    assert "short" not in str(raised.value)
    assert "middle" not in str(raised.value)


def test_a_token_comes_from_a_file(tmp_path):
    """As Kubernetes and Docker mount secrets; the line break at its end does not count."""
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    settings = load_settings(token_file=str(file))
    assert settings.http_token == TOKEN
    assert settings.http_headers == BEARER


def test_two_tokens_are_one_too_many(tmp_path):
    """Nobody can know which one counts."""
    file = tmp_path / "token"
    file.write_text(TOKEN)
    with pytest.raises(ConfigurationError, match="both set: keep one"):
        load_settings(token=TOKEN, token_file=str(file))


def test_settings_do_not_show_the_token():
    """Not in their text, not dumped."""
    settings = load_settings(token=TOKEN)
    assert TOKEN not in repr(settings)
    assert TOKEN not in str(settings.model_dump())


@pytest.mark.parametrize(
    ("header", "name", "loopback"),
    [
        ("LOCALHOST:80", "localhost", True),
        ("localhost.", "localhost", True),
        ("127.9.9.9", "127.9.9.9", True),
        ("[::1]:1", "::1", True),
        ("::1", "::1", True),
        ("[::ffff:127.0.0.1]", "::ffff:127.0.0.1", True),
        ("0.0.0.0", "0.0.0.0", False),
        ("notlocalhost", "notlocalhost", False),
        ("localhost.evil.example", "localhost.evil.example", False),
        ("", "", False),
    ],
)
def test_names_of_this_machine(header, name, loopback):
    """Whatever way they are written."""
    assert host_name(header) == name
    assert is_loopback(host_name(header)) is loopback


def test_a_token_of_bytes_that_are_no_text_is_wrong():
    """As aiohttp gives them to us; they have no encoding."""
    assert not Access(load_settings(token=TOKEN)).is_token("\udcfc")

"""No secret leaves a pod with its settings."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from trunkline.settings import load_settings
from trunkline.system.masking import MASK, changed_settings, digest_of, mask, shown_settings


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://shop:hunter2@db:5432/shop",
        "postgresql+asyncpg://shop:hun/ter2@db/shop",
        "postgresql://shop:hunter2@x@db/shop?application_name=a",
        "postgresql://db/shop?user=a&password=hunter2",
    ],
)
def test_masks_the_password_in_a_url(monkeypatch, url):
    """Host and name of the database are worth seeing, the password is not."""
    monkeypatch.setenv("DATABASE_URL", url)

    shown = shown_settings(load_settings())["DATABASE_URL"]

    assert "hun" not in shown
    assert "ter2" not in shown
    assert MASK in shown
    assert "shop" in shown


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sasl_password", "hunter2"),
        ("token", "hunter2"),
        ("whatever", SecretStr("hunter2")),
        ("options", {"client_secret": "hunter2"}),
        ("jaas", 'org.example required username="a" password=hunter2;'),
        ("tls_key_passphrase", ["hunter2"]),
    ],
)
def test_masks_by_type_and_by_name(name, value):
    """A setting that is added later is masked without anybody thinking of it."""
    assert "hunter2" not in str(mask(name, value))


def test_shows_whether_a_secret_is_set():
    """An empty one is no secret."""
    assert mask("token", SecretStr("")) == ""
    assert mask("token", "") == ""


def test_numbers_are_shown_whatever_their_name():
    """How many, how long, on or off."""
    assert mask("token_lifetime_s", 3600) == 3600


def test_every_setting_is_shown_by_its_variable(monkeypatch):
    """As the README has them."""
    monkeypatch.setenv("TRUNKLINE_COMMIT_INTERVAL_S", "0.7")
    settings = load_settings()

    assert shown_settings(settings)["TRUNKLINE_COMMIT_INTERVAL_S"] == 0.7
    assert "TRUNKLINE_COMMIT_INTERVAL_S" in changed_settings(settings)
    assert len(shown_settings(settings)) == len(type(settings).model_fields)


def test_pods_of_a_service_have_one_digest():
    """Their names and ports are their own; anything else is a difference."""
    first = shown_settings(load_settings(pod="engine.1", web_port=1))
    second = shown_settings(load_settings(pod="engine.2", web_port=2))
    other = shown_settings(load_settings(pod="engine.2", commit_interval_s=3))

    assert digest_of(first) == digest_of(second) != digest_of(other)

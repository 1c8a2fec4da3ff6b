"""Settings of TLS and SASL as aiokafka's options, checked for what is missing or of no use."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trunkline.errors import ConfigurationError
from trunkline.security.context import client_context, trusting_context
from trunkline.security.redaction import hide_credentials

_TLS_ONLY = (
    "kafka_ssl_ca_file",
    "kafka_ssl_cert_file",
    "kafka_ssl_key_file",
    "kafka_ssl_key_password",
    "kafka_ssl_key_password_file",
)
_USER = ("kafka_sasl_username", "kafka_sasl_password", "kafka_sasl_password_file")
_OAUTH = (
    "kafka_sasl_oauth_token_file",
    "kafka_sasl_oauth_token_url",
    "kafka_sasl_oauth_client_id",
    "kafka_sasl_oauth_client_secret",
    "kafka_sasl_oauth_client_secret_file",
    "kafka_sasl_oauth_scope",
    "kafka_sasl_oauth_ca_file",
)

#: The settings by their fields' names.
Given = Mapping[str, Any]


def security_options(given: Given) -> dict[str, Any]:
    """Return aiokafka's options; empty for plaintext.

    Raises:
        ConfigurationError: A variable is missing, is of no use, or names a file that is.

    """
    protocol = given["kafka_security_protocol"]
    uses_tls, uses_sasl = protocol.endswith("SSL"), protocol.startswith("SASL")
    if not uses_tls:
        _refuse(given, _TLS_ONLY, f"KAFKA_SECURITY_PROTOCOL is {protocol}", "SSL or SASL_SSL")
    if not uses_sasl:
        sasl = ("kafka_sasl_mechanism", *_USER, *_OAUTH)
        _refuse(given, sasl, f"KAFKA_SECURITY_PROTOCOL is {protocol}", "SASL_SSL")
    if not (uses_tls or uses_sasl):
        return {}
    options: dict[str, Any] = {"security_protocol": protocol}
    options["ssl_context"] = _context(given) if uses_tls else None
    return options | _sasl(given) if uses_sasl else options


def _context(given: Given) -> Any:
    return client_context(
        ca_file=given["kafka_ssl_ca_file"],
        cert_file=given["kafka_ssl_cert_file"],
        key_file=given["kafka_ssl_key_file"],
        key_password=_secret(given, "kafka_ssl_key_password"),
        check_hostname=given["kafka_ssl_check_hostname"],
    )


def _sasl(given: Given) -> dict[str, Any]:
    protocol, mechanism = given["kafka_security_protocol"], given["kafka_sasl_mechanism"]
    if mechanism is None:
        raise ConfigurationError(
            f"KAFKA_SASL_MECHANISM is not set, and KAFKA_SECURITY_PROTOCOL is {protocol}: set it "
            "to what your cluster takes (SCRAM-SHA-512, SCRAM-SHA-256, PLAIN or OAUTHBEARER)."
        )
    hide_credentials()
    why = f"KAFKA_SASL_MECHANISM is {mechanism}"
    if mechanism == "OAUTHBEARER":
        _refuse(given, _USER, why, None)
        provider = _token_provider(given)
        return {"sasl_mechanism": mechanism, "sasl_oauth_token_provider": provider}
    _refuse(given, _OAUTH, why, None)
    return {
        "sasl_mechanism": mechanism,
        "sasl_plain_username": _needed(given, "kafka_sasl_username", why),
        "sasl_plain_password": _needed_secret(given, "kafka_sasl_password", why),
    }


def _token_provider(given: Given) -> Any:
    # HTTP and Kafka clients, which only this needs: a command starts sooner without.
    from trunkline.security.challenge import hear_refusals  # noqa: PLC0415
    from trunkline.security.tokens import ClientCredentials, TokenFile  # noqa: PLC0415

    hear_refusals()
    file, url = given["kafka_sasl_oauth_token_file"], given["kafka_sasl_oauth_token_url"]
    if (file is None) == (url is None):
        raise ConfigurationError(
            "KAFKA_SASL_MECHANISM is OAUTHBEARER: set one of KAFKA_SASL_OAUTH_TOKEN_FILE and "
            f"KAFKA_SASL_OAUTH_TOKEN_URL{', not both' if file else ''}."
        )
    if file is not None:
        _refuse(given, _OAUTH[2:], "KAFKA_SASL_OAUTH_TOKEN_FILE is set", None)
        return TokenFile(_readable(file, "KAFKA_SASL_OAUTH_TOKEN_FILE"))
    why = "KAFKA_SASL_OAUTH_TOKEN_URL is set"
    return ClientCredentials(
        url,
        _needed(given, "kafka_sasl_oauth_client_id", why),
        _needed_secret(given, "kafka_sasl_oauth_client_secret", why),
        scope=given["kafka_sasl_oauth_scope"],
        context=trusting_context(given["kafka_sasl_oauth_ca_file"], "KAFKA_SASL_OAUTH_CA_FILE"),
    )


def _refuse(given: Given, names: tuple[str, ...], why: str, instead: str | None) -> None:
    """Refuse variables that would have no effect: whoever set them means something else."""
    useless = [name.upper() for name in names if given[name] is not None]
    if useless:
        has, it = ("has", "it") if len(useless) == 1 else ("have", "them")
        mend = f"Set KAFKA_SECURITY_PROTOCOL to {instead}, or unset" if instead else "Unset"
        raise ConfigurationError(f"{', '.join(useless)} {has} no effect: {why}. {mend} {it}.")


def _needed(given: Given, name: str, why: str) -> str:
    if given[name] is None:
        raise ConfigurationError(f"{name.upper()} is not set, and {why}: set it.")
    return str(given[name])


def _needed_secret(given: Given, name: str, why: str) -> str:
    secret = _secret(given, name)
    if secret is None:
        raise ConfigurationError(
            f"{name.upper()} is not set, and {why}: set it, or {name.upper()}_FILE."
        )
    return secret


def _secret(given: Given, name: str) -> str | None:
    """Return a secret, from its variable or from the file that another names."""
    value, file = given[name], given[f"{name}_file"]
    if value is not None and file is not None:
        raise ConfigurationError(
            f"{name.upper()} and {name.upper()}_FILE are both set: unset one of them."
        )
    if file is None:
        return None if value is None else str(value.get_secret_value())
    variable = f"{name.upper()}_FILE"
    text = _readable(file, variable).read_text("utf-8").rstrip("\r\n")
    if not text:
        raise ConfigurationError(f"{variable}={file}: the file is empty.")
    return text


def _readable(path: Path, variable: str) -> Path:
    try:
        path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise ConfigurationError(f"{variable}={path}: cannot be read ({reason}).") from None
    return path

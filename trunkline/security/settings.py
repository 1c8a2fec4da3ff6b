"""The settings of TLS and SASL, named as other Kafka clients name them."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings

from trunkline.security.options import security_options

Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"]


def _named(*names: str) -> Any:
    """Return a setting that is read from the first of these variables that is set."""
    return Field(None, validation_alias=AliasChoices(*names))


class SecuritySettings(BaseSettings):
    """How Kafka is to be reached. A secret is given by itself, or as a file that holds it."""

    kafka_security_protocol: Protocol = Field(
        "PLAINTEXT", validation_alias="KAFKA_SECURITY_PROTOCOL"
    )
    #: PEM file of the certificates that brokers are trusted by; unset means the system's.
    kafka_ssl_ca_file: Path | None = _named("KAFKA_SSL_CA_FILE", "KAFKA_SSL_CAFILE")
    #: Certificate and key by which this process is known; PEM files.
    kafka_ssl_cert_file: Path | None = _named("KAFKA_SSL_CERT_FILE", "KAFKA_SSL_CERTFILE")
    kafka_ssl_key_file: Path | None = _named("KAFKA_SSL_KEY_FILE", "KAFKA_SSL_KEYFILE")
    kafka_ssl_key_password: SecretStr | None = _named("KAFKA_SSL_KEY_PASSWORD")
    kafka_ssl_key_password_file: Path | None = _named("KAFKA_SSL_KEY_PASSWORD_FILE")
    #: Whether a broker's certificate must be for the host name that it was reached by.
    kafka_ssl_check_hostname: bool = Field(True, validation_alias="KAFKA_SSL_CHECK_HOSTNAME")

    kafka_sasl_mechanism: Mechanism | None = _named("KAFKA_SASL_MECHANISM")
    kafka_sasl_username: str | None = _named("KAFKA_SASL_USERNAME")
    kafka_sasl_password: SecretStr | None = _named("KAFKA_SASL_PASSWORD")
    kafka_sasl_password_file: Path | None = _named("KAFKA_SASL_PASSWORD_FILE")
    #: OAUTHBEARER: a file that something else keeps fresh, read for each connection,
    kafka_sasl_oauth_token_file: Path | None = _named("KAFKA_SASL_OAUTH_TOKEN_FILE")
    #: or the endpoint that gives tokens for client credentials (RFC 6749, section 4.4).
    kafka_sasl_oauth_token_url: str | None = _named("KAFKA_SASL_OAUTH_TOKEN_URL")
    kafka_sasl_oauth_client_id: str | None = _named("KAFKA_SASL_OAUTH_CLIENT_ID")
    kafka_sasl_oauth_client_secret: SecretStr | None = _named("KAFKA_SASL_OAUTH_CLIENT_SECRET")
    kafka_sasl_oauth_client_secret_file: Path | None = _named("KAFKA_SASL_OAUTH_CLIENT_SECRET_FILE")
    kafka_sasl_oauth_scope: str | None = _named("KAFKA_SASL_OAUTH_SCOPE")
    #: PEM file of the certificates that the endpoint is trusted by; unset means the system's.
    kafka_sasl_oauth_ca_file: Path | None = _named("KAFKA_SASL_OAUTH_CA_FILE")

    @cached_property
    def kafka_security(self) -> dict[str, Any]:
        """Return aiokafka's options for what was set; empty for plaintext.

        Raises:
            ConfigurationError: Something is missing, contradicts itself, or cannot be read.

        """
        return security_options(self.model_dump(include=set(SecuritySettings.model_fields)))

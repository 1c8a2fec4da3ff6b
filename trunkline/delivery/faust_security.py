"""TLS and SASL for the clients that Faust makes by itself: its consumer and its producer."""

from __future__ import annotations

from faust.auth import Credentials, OAuthCredentials, SASLCredentials, SSLCredentials

from trunkline.connection import KafkaConnection


def faust_credentials(connection: KafkaConnection) -> Credentials | None:
    """Translate a connection's options, which are aiokafka's, into what Faust makes them of.

    Returns:
        None for plaintext.

    """
    options = connection.security
    protocol, context = options.get("security_protocol", "PLAINTEXT"), options.get("ssl_context")
    if protocol == "PLAINTEXT":
        return None
    if protocol == "SSL":
        return SSLCredentials(context)
    # Faust takes SASL_SSL from there being a context.
    if options["sasl_mechanism"] == "OAUTHBEARER":
        return OAuthCredentials(oauth_cb=options["sasl_oauth_token_provider"], ssl_context=context)
    return SASLCredentials(
        username=options["sasl_plain_username"],
        password=options["sasl_plain_password"],
        ssl_context=context,
        mechanism=options["sasl_mechanism"],
    )

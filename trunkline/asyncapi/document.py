"""Put the document together: servers, channels, operations and what they refer to.

The form is that of https://www.asyncapi.com/docs/reference/specification/v3.0.0; a test gives the
document to AsyncAPI's own parser.
"""

from __future__ import annotations

from typing import Any

from trunkline import __version__
from trunkline.asyncapi.channels import channels_of
from trunkline.asyncapi.messages import messages_of
from trunkline.asyncapi.operations import operations_of
from trunkline.asyncapi.schemas import schemas_of
from trunkline.asyncapi.servers import security_schemes, servers_of
from trunkline.connection import KafkaConnection
from trunkline.topology import Topology

_DESCRIPTION = """\
Events are plain JSON objects, keyed so that the events of a key stay in order. Delivery is at least
once; readers need `read_committed`. What a group cannot handle goes to its failures topic, and when
no retry is left to the dead letter topic of its source."""


def asyncapi_document(topology: Topology, connection: KafkaConnection) -> dict[str, Any]:
    """Return the AsyncAPI 3 document of a topology, as JSON objects.

    Args:
        topology: Its topics are the channels, under their plain names; addresses are real names.
        connection: Where Kafka is. No secret of it gets into the document.

    """
    schemes = security_schemes(connection)
    components = {"messages": messages_of(topology), "schemas": schemas_of(topology)}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Trunkline" + (f" ({topology.namespace})" if topology.namespace else ""),
            "version": __version__,
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": servers_of(connection),
        "channels": channels_of(topology),
        "operations": operations_of(topology),
        "components": components | ({"securitySchemes": schemes} if schemes else {}),
    }

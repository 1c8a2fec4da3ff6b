"""``trunkline dlq``: look at dead letters, and act on them."""

from __future__ import annotations

import click

from trunkline.cli.dlq.acting import discard, import_, redrive
from trunkline.cli.dlq.looking import export, ls, show
from trunkline.cli.suggesting import SuggestingGroup


@click.group(cls=SuggestingGroup)
def dlq() -> None:
    """List, show, redrive, export, import and discard dead letters.

    All of it reads Kafka itself, so it works without the dlq service. Filters: of one option's
    values any may fit, of different options all must.
    """


for _command in (ls, show, redrive, export, import_, discard):
    dlq.add_command(_command)

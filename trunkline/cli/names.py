"""Names as arguments and options: completed from the topology, without asking a broker."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import click
from click.shell_completion import CompletionItem

from trunkline.errors import TrunklineError
from trunkline.settings import load_settings
from trunkline.topology import Topology


class Name(click.ParamType):
    """A name of the topology; what it may be is checked by who takes it.

    Args:
        name: What it is called in help texts.
        known: Returns the names that there are, plain ones.

    """

    def __init__(self, name: str, known: Callable[[Topology], Iterable[str]]) -> None:
        self.name = name
        self._known = known

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the names that begin so; none where the settings are wrong."""
        try:
            topology = Topology(load_settings().namespace)
        except TrunklineError:
            return []
        names = dict.fromkeys(topology.plain_name(name) for name in self._known(topology))
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def _pods(topology: Topology) -> list[str]:
    """Return the pods that ``scripts/up`` starts."""
    return [f"{s.name}.{number}" for s in topology.services for number in range(1, s.pods + 1)]


#: A topic with a model, which takes events.
EVENT_TOPIC = Name("topic", lambda topology: [t.name for t in topology.declared_topics if t.model])
#: Any topic that the application needs.
ANY_TOPIC = Name("topic", lambda topology: [topic.name for topic in topology.topics()])
GROUP = Name("group", lambda topology: [s.group for s in topology.services if s.group])
POD = Name("pod", _pods)
SERVICE = Name("service", lambda topology: [service.name for service in topology.services])

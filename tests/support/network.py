"""A network of its own for a pod: a namespace behind a cable (veth) that can be pulled out."""

from __future__ import annotations

import subprocess


class Network:
    """The namespace of one cluster; it needs root, and Debian's iproute2.

    Attributes:
        name: Of the namespace.
        host: Our end's address, where brokers listen for the pods inside.
        pod: Address of the pods inside.

    """

    def __init__(self, port: int) -> None:
        """Describe the network of the cluster with this first port."""
        self.name = f"trunkline-{port}"
        self._cable, self._plug = f"tl{port}h", f"tl{port}p"
        # A network of four addresses for each cluster that may be on this machine.
        self.host = f"10.77.{port // 4 % 250}.{port % 4 * 4 + 1}"
        self.pod = f"10.77.{port // 4 % 250}.{port % 4 * 4 + 2}"

    def up(self) -> str:
        """Make it, unless it is there; returns our end's address, or ``""`` where that is refused.

        The scenarios that need no network go on then; the one that does fails with the reason.
        """
        try:
            if self.name not in _ip("netns", "list"):
                self._make()
        except (OSError, subprocess.CalledProcessError):
            return ""
        return self.host

    def _make(self) -> None:
        _ip("netns", "add", self.name)
        _ip("link", "add", self._cable, "type", "veth", "peer", "name", self._plug)
        _ip("link", "set", self._plug, "netns", self.name)
        _ip("addr", "add", f"{self.host}/30", "dev", self._cable)
        _ip("link", "set", self._cable, "up")
        self._inside("addr", "add", f"{self.pod}/30", "dev", self._plug)
        self._inside("link", "set", "lo", "up")
        self._inside("link", "set", self._plug, "up")

    @property
    def wrapper(self) -> list[str]:
        """Return what makes a command run inside."""
        return ["ip", "netns", "exec", self.name]

    def pull(self) -> None:
        """Cut the network: packets vanish, in both directions; nobody is told."""
        # Our end: inside, the device and its routes stay, so that senders get no error at once.
        _ip("link", "set", self._cable, "down")

    def plug(self) -> None:
        """Let packets through again."""
        _ip("link", "set", self._cable, "up")

    def down(self) -> None:
        """Remove it."""
        if self.name in _ip("netns", "list"):
            _ip("netns", "del", self.name)

    def _inside(self, *arguments: str) -> None:
        _ip("-n", self.name, *arguments)


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=True)
    return done.stdout

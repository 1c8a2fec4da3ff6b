"""Kafka's jars in the cache: whole or not at all."""

from __future__ import annotations

import pytest

from trunkline.broker import jars
from trunkline.errors import BrokerError


class Artifact:
    """A jar as jgo resolves it: ``resolve`` downloads it."""

    def __init__(self, path, content=b"jar"):
        self.path, self.content = path, content

    def resolve(self):
        if self.content is None:
            raise RuntimeError("the network is gone")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_bytes(self.content)
        return self.path


@pytest.fixture
def registry(monkeypatch):
    """Stand in for the registry: serves two jars, and counts how often it was asked."""
    served = {"asked": 0, "contents": [b"one", b"three"]}

    def resolve(repository, say):
        served["asked"] += 1
        return [Artifact(repository / f"g/{i}.jar", c) for i, c in enumerate(served["contents"])]

    monkeypatch.setattr(jars, "_resolve", resolve)
    return served


def test_fetches_once_and_then_needs_no_network(tmp_path, registry):
    """The second time the registry is not asked, and nothing is said."""
    said = []
    first = jars.class_path(said.append, tmp_path / "kafka-1.0")
    second = jars.class_path(said.append, tmp_path / "kafka-1.0")

    assert first == second
    assert [jar.read_bytes() for jar in first] == [b"one", b"three"]
    assert (registry["asked"], len(said)) == (1, 1)


@pytest.mark.parametrize("harm", ["missing", "cut off"])
def test_fetches_again_when_a_jar_is_not_whole(tmp_path, registry, harm):
    """A jar that vanished or was cut off is noticed, not started."""
    [jar, _] = jars.class_path(str, tmp_path / "kafka-1.0")
    jar.unlink() if harm == "missing" else jar.write_bytes(b"o")

    assert jars.class_path(str, tmp_path / "kafka-1.0")[0].read_bytes() == b"one"
    assert registry["asked"] == 2


def test_keeps_nothing_of_a_download_that_failed(tmp_path, registry):
    """After a failure in the middle the next start begins anew."""
    registry["contents"] = [b"one", None]
    with pytest.raises(BrokerError, match=r"Could not fetch Apache Kafka .* network is gone"):
        jars.class_path(str, tmp_path / "kafka-1.0")
    registry["contents"] = [b"one", b"three"]

    assert len(jars.class_path(str, tmp_path / "kafka-1.0")) == 2


def test_says_what_to_do_when_the_cache_cannot_be_written(tmp_path, registry):
    """A cache folder that is a file is the user's to mend."""
    (tmp_path / "file").write_text("")

    with pytest.raises(BrokerError, match="XDG_CACHE_HOME"):
        jars.class_path(str, tmp_path / "file" / "kafka-1.0")


def test_puts_the_cache_where_the_environment_says(tmp_path, monkeypatch):
    """XDG_CACHE_HOME moves it; else it is in the home folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert jars.cache_dir().parent == tmp_path / "trunkline"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert jars.cache_dir().parent == tmp_path / ".cache" / "trunkline"

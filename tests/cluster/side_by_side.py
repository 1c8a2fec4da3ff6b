"""Workers of an older version and of this one in one group, run by hand (docs/upgrading.md).

    git worktree add /tmp/old <commit>
    KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:19092 .venv/bin/python -m tests.cluster.side_by_side /tmp/old

Each stops and is killed in turn, so that what one wrote (failure records, holds, entries of the
retries table) is read by the other; then every event is accounted for.
"""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
import uuid
from pathlib import Path

from tests.cluster.world import SETTINGS
from trunkline.settings import load_settings
from trunkline.soak.account import draw_up
from trunkline.soak.fates import Shares, refuse_rows
from trunkline.soak.load import Load
from trunkline.topology import AUTH_REGISTERED
from trunkline.verifying.stage import Stage
from trunkline.verifying.workers import WorkerProcess

ROUNDS = 3
SHARES = Shares(flaky=0.2, hopeless=0.05, invalid=0.02)
_WAIT = re.compile(r"failures\[\d\]: (\d+) event\(s\) wait")


async def main(old: Path) -> None:
    """Run it, and print what was counted."""
    folder = Path(tempfile.mkdtemp(prefix="trunkline-side-by-side-"))
    namespace = f"side-{uuid.uuid4().hex[:6]}"
    stage = Stage(load_settings().connection, namespace, folder, ("auth-service", "db-server"))
    async with stage:
        [publisher] = stage.pods("auth-service", 1, **SETTINGS)
        [new] = stage.pods("db-server", 1, **SETTINGS)
        before = stage.adopt(_old_pod(stage, folder, old))
        await stage.start(publisher, before, new)
        refuse_rows(folder / "data", ("db-server",))
        load = Load(stage, {AUTH_REGISTERED: publisher}, 100, 1, SHARES)
        running = asyncio.create_task(load.run())
        for number in range(ROUNDS):
            for pod in (before, new):
                await asyncio.sleep(6)
                await asyncio.to_thread(pod.kill) if number % 2 else await pod.stop()
                await asyncio.sleep(8)  # the other has all partitions, and what waits
                pod.start()
                await pod.wait_ready()
        load.end()
        await running
        await _rest(stage, before, new)
        for pod in (publisher, before, new):
            await pod.stop()
        account = await draw_up(stage, load.acknowledged, ("db-server",))
    print(account)
    for pod in (before, new):
        log = pod.log_file.read_text(errors="replace")
        taken = [int(count) for count in _WAIT.findall(log)]
        print(f"{pod.pod}: took over {sum(taken)} waiting events in {len(taken)} recoveries")
        assert taken
        assert "Traceback" not in log, pod.log_file
        assert "passed over" not in log, pod.log_file
    assert account.ok


def _old_pod(stage: Stage, folder: Path, old: Path) -> WorkerProcess:
    return WorkerProcess(
        "db-server",
        servers=",".join(stage.connection.servers),
        namespace=stage.topology.namespace,
        directory=folder,
        pod="db-server-old",
        env=SETTINGS,
        wrapper=("env", "-C", str(old), f"PYTHONPATH={old}"),
    )


async def _rest(stage: Stage, *pods: WorkerProcess) -> None:
    topic = stage.topology.topic(AUTH_REGISTERED).name
    for _ in range(120):
        ends = await stage.observer.ends(topic)
        committed = await stage.committed("db-server", AUTH_REGISTERED)
        waiting = sum([(await pod.stats())["retries"]["waiting"] for pod in pods])
        if committed == sum(ends.values()) and not waiting:
            return
        await asyncio.sleep(0.5)
    raise AssertionError("it did not come to rest")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]).absolute()))

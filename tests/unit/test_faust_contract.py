"""What we stand on in Faust and aiokafka is there, and is what it was when it was read.

When this fails after an upgrade: read the named functions anew, beside what ours do with them or
instead of them, run ``tests/integration/test_delivery_*.py``, and only then write the new versions
and digests down here; ``python -m tests.unit.test_faust_contract`` prints the digests.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import inspect
import re
import textwrap

import faust
import mode
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import AIOKafkaConnection, OAuthAuthenticator
from aiokafka.consumer.fetcher import Fetcher, FetchResult, PartitionRecords
from aiokafka.consumer.group_coordinator import GroupCoordinator, NoGroupCoordinator
from aiokafka.consumer.subscription_state import SubscriptionState, TopicPartitionState
from aiokafka.producer.message_accumulator import BatchBuilder, MessageAccumulator, MessageBatch
from aiokafka.producer.sender import AddPartitionsToTxnHandler, Sender
from aiokafka.producer.transaction_manager import TransactionManager
from aiokafka.record.default_records import _DefaultRecordBatchPy, _DefaultRecordPy
from aiokafka.record.memory_records import MemoryRecords
from faust.app.base import BootStrategy
from faust.stores.rocksdb import RocksDBOptions
from faust.stores.rocksdb import Store as RocksDBStore
from faust.streams import Stream
from faust.tables.base import Collection
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery
from faust.topics import Topic
from faust.transport.conductor import Conductor
from faust.transport.consumer import Consumer as BaseConsumer
from faust.transport.consumer import ThreadDelegateConsumer
from faust.transport.drivers import aiokafka as driver
from faust.types.tuples import ConsumerMessage
from faust.web.drivers.aiohttp import Web as FaustWeb
from mode.threads import QueueServiceThread
from mode.worker import Worker as ModeWorker

from tables.retries import RetriesTable
from tables.retry_files import RetryOptions
from tables.retry_store import RetriesStore
from trunkline.delivery import app as ours_app
from trunkline.delivery import faust_internals as ours
from trunkline.delivery import faust_tables as ours_tables
from trunkline.delivery import worker as ours_worker
from trunkline.delivery.consumer_thread import ConsumerThread
from trunkline.delivery.faust_producer import Producer
from trunkline.delivery.header_names import LenientBatch, TolerantRecords
from trunkline.security import challenge

HELP = "see the text at the top of tests/unit/test_faust_contract.py"
PINNED = {"faust-streaming": "0.15.3", "aiokafka": "0.14.0", "mode-streaming": "0.7.1"}

#: Ours, and what it overrides: after a rename nobody would call ours any more.
OVERRIDES = {
    ours.BatchTopic: ("__init__", "_compile_decode"),
    ConsumerThread: ("_create_worker_consumer", "_commit", "on_start", "on_thread_stop"),
    ours.Consumer: (
        "__init__",
        "_new_consumer_thread",
        "verify_event_path",
        "_drain_messages",
        "force_commit",
        "wait_empty",
        "on_partitions_revoked",
        "perform_seek",
    ),
    Producer: ("on_stop",),
    ours.Transport: ("Consumer", "Producer"),
    ours_worker.DeliveryBoot: ("server",),
    ours_worker.DeliveryWorker: (
        "install_signal_handlers",
        "on_setup_root_logger",
        "on_startup_finished",
        "_sentinel_task",
        "_on_sigterm",
    ),
    ours_app.DeliveryApp: (
        "BootStrategy",
        "_new_transport",
        "_new_producer_transport",
        "_wait_for_table_recovery_completed",
        "_create_directories",
        "_producer_flush",
        "on_rebalance_end",
    ),
    LenientBatch: ("_read_msg",),
    challenge.OAuthAuthenticator: ("step",),
    ours_tables.TableManager: ("add", "on_start"),
    RetriesTable: ("_new_store_by_url", "on_rebalance", "on_key_set", "on_key_del", "on_clear"),
    RetriesStore: (
        "_set",
        "_del",
        "_get",
        "_contains",
        "_dbs_for_actives",
        "_visible_keys",
        "_visible_items",
    ),
    RetryOptions: ("as_options",),
}

#: Whose, and which of its methods and attributes we use.
USED = {
    driver.Consumer: (
        "_add_gap _commit_offsets _committed_offset _get_active_partitions _method_queue "
        "_read_offset _stopped _thread _to_message assignment callback can_resume_flow commit "
        "earliest_offsets flow_active highwater log suspend_flow wait wait_first"
    ),
    driver.AIOKafkaConsumerThread: (
        "_consumer _ensure_consumer _rebalance_listener call_thread consumer log "
        "parent_loop thread_loop tp_last_committed_at"
    ),
    faust.App: "conf consumer consumer_generation_id monitor rebalancing should_stop tables topics",
    BootStrategy: (
        "_chain agents app kafka_conductor kafka_consumer kafka_producer sensors tables web_server"
    ),
    Conductor: "acking_topics acks_enabled_for",
    Stream: "current_event get_active_stream noack",
    TableManager: "_changelogs _channels _update_channels changelog_topics recovery",
    FaustWeb: "_runner web_app",
    OAuthAuthenticator: "_sasl_oauth_token_provider _token_sent",
    RocksDBStore: "_dbs offset_key partition_path",
    RocksDBOptions: "as_options open",
    mode.Service: "add_future beacon mundane_level should_stop sleep",
    AIOKafkaConsumer: (
        "_client _closed _coordinator _fetch_max_wait_ms _fetcher _isolation_level "
        "_subscription commit last_stable_offset stop subscribe subscription"
    ),
    Fetcher: (
        "_closed _fetch_task _fetch_waiters _pending_tasks _records _subscriptions "
        "fetched_records seek_to"
    ),
    FetchResult: (
        "_assignment _partition_records _update_position check_assignment getall has_more"
    ),
    PartitionRecords: (
        "_aborted_producers _check_crcs _consume_aborted_up_to _contains_abort_marker "
        "_isolation_level _records _tp next_fetch_offset"
    ),
    SubscriptionState: "fetch_context subscription unsubscribe",
    TopicPartitionState: "has_valid_position position",
    GroupCoordinator: (
        "_commit_refresh_task _coordination_task _heartbeat_task _send_req _stop_heartbeat_task "
        "generation group_id member_id reset_generation"
    ),
    NoGroupCoordinator: "_reset_committed_task",
    _DefaultRecordBatchPy: "_buffer _pos LOG_APPEND_TIME first_timestamp max_timestamp",
    MemoryRecords: "has_next next_batch size_in_bytes",
    AIOKafkaProducer: (
        "_closed _message_accumulator _sender _txn_manager begin_transaction client "
        "commit_transaction create_batch send_batch"
    ),
    TransactionManager: "_transaction_waiter",
    AIOKafkaClient: (
        "_get_conn _md_update_fut add_topic bootstrap cluster force_metadata_update "
        "get_random_node send"
    ),
    MessageAccumulator: "_batches _closed _pending_batches",
    MessageBatch: "_drain_waiter future retry_count",
    BatchBuilder: "append record_count size",
    Sender: "_fail_all sender_task",
}

#: How we call it.
SIGNATURES = {
    BaseConsumer.force_commit: "(self, topics, start_new_transaction)",
    BaseConsumer.commit: "(self, topics, start_new_transaction)",
    BaseConsumer._commit_offsets: "(self, offsets, start_new_transaction)",
    BaseConsumer._add_gap: "(self, tp, offset_from, offset_to)",
    BaseConsumer.on_partitions_revoked: "(self, revoked)",
    driver.AIOKafkaConsumerThread._create_worker_consumer: "(self, transport)",
    driver.AIOKafkaConsumerThread._commit: "(self, offsets)",
    Fetcher.fetched_records: "(self, partitions, timeout, max_records)",
    Fetcher.seek_to: "(self, tp, offset)",
    ConsumerMessage.__init__: (
        "(self, topic, partition, offset, timestamp, timestamp_type, headers, key, value, "
        "checksum, serialized_key_size, serialized_value_size, tp, time_in, time_out, time_total, "
        "generation_id)"
    ),
    _DefaultRecordPy.__init__: "(self, offset, timestamp, timestamp_type, key, value, headers)",
    _DefaultRecordBatchPy._read_msg: "(self, decode_varint)",
    Topic._compile_decode: "(self)",
    faust.App._producer_flush: "(self, logger)",
}

#: Replaced by ours or relied on in detail: digest of its code, and what of ours to compare.
READ = {
    GroupCoordinator._do_heartbeat: ("55c5f3be", "Lease.watch notes when it was answered"),
    GroupCoordinator._do_rejoin_group: ("4cd602ad", "Lease.watch notes when it was answered"),
    GroupCoordinator._heartbeat_routine: (
        "3ae9e23f",
        "Lease: it asks by _do_heartbeat, of the instance",
    ),
    AIOKafkaClient._md_synchronizer: (
        "da5786a7",
        "client_tasks: it is _sync_task, and never ends by itself",
    ),
    BaseConsumer._drain_messages: ("6f6e8fbe", "Consumer._drain_messages does all of its work"),
    BaseConsumer.force_commit: ("c7fe97ef", "Consumer.force_commit commits ours behind it"),
    BaseConsumer._commit_offsets: ("f1fafd82", "Consumer.force_commit: it flushes, then commits"),
    BaseConsumer.commit: ("2202fd6f", "Consumer._commit_to_the_end: it only waits while one runs"),
    BaseConsumer.wait_empty: ("b203e65f", "Consumer.wait_empty limits it in time"),
    BaseConsumer.on_stop: ("edcda968", "calls our wait_empty when stream_wait_empty is set"),
    BaseConsumer.on_partitions_revoked: ("e19963e7", "Consumer.on_partitions_revoked"),
    BaseConsumer.perform_seek: ("fb84a3ee", "Consumer.perform_seek reports lost offsets behind it"),
    BaseConsumer._get_active_partitions: ("77daebe7", "Consumer._fetch_once"),
    ThreadDelegateConsumer.threadsafe_partitions_revoked: (
        "5ba7f1b3",
        "revocations wait for our drain",
    ),
    driver.AIOKafkaConsumerThread._create_worker_consumer: (
        "f283c3ec",
        "sets the isolation level after",
    ),
    driver.AIOKafkaConsumerThread._commit: ("728c9122", "ConsumerThread._commit replaces it"),
    driver.AIOKafkaConsumerThread.on_start: (
        "62a726b8",
        "ConsumerThread.on_start replaces _records after",
    ),
    driver.AIOKafkaConsumerThread.on_thread_stop: (
        "35848da7",
        "ConsumerThread.on_thread_stop replaces it",
    ),
    driver.Producer.on_stop: ("00f0f040", "Producer.on_stop limits it in time"),
    Topic._compile_decode: ("82aa06ad", "BatchTopic._compile_decode replaces it"),
    QueueServiceThread.call_thread: ("7343f829", "ConsumerThread.fetch goes past its queue"),
    BootStrategy.server: ("e1a1cffb", "DeliveryBoot.server: same parts, another order"),
    faust.App._on_partitions_revoked: (
        "b21e4302",
        "stops the flow, clears the streams, then wait_empty",
    ),
    faust.App._on_partitions_assigned: ("6758e5a7", "generations and trackers start anew"),
    faust.App._stop_consumer: (
        "f07a854b",
        "SIGTERM: stop the flow and the fetcher, then wait_empty",
    ),
    faust.App._producer_flush: ("72c915b5", "DeliveryApp._producer_flush limits it in time"),
    faust.App.on_rebalance_end: ("4e3e7296", "DeliveryApp.on_rebalance_end logs behind it"),
    TableManager.add: ("26beea73", "TableManager.add takes the changelog out behind it"),
    TableManager.on_start: ("c39281f8", "TableManager.on_start does the same without its sleep"),
    Conductor._subscriber.fun: (
        "d78dabbb",
        "TableManager.on_start: it waits for the agents and for _update_channels, then subscribes",
    ),
    ModeWorker._shutdown_loop: ("d88979a8", "_sentinel_task is the last thing that it runs"),
    ModeWorker._sentinel_task: ("1f601d80", "DeliveryWorker._sentinel_task replaces it"),
    TableManager._update_channels: (
        "f1159fe2",
        "makes a channel for each table that has none; starts all",
    ),
    TableManager.on_rebalance: ("150b25e1", "tells every table, RetriesTable.on_rebalance too"),
    Recovery.on_rebalance: ("0917270b", "looks tables up in _changelogs"),
    Recovery._restart_recovery.fun: ("8df4a7b4", "asks 'not self.tables': TableManager.__bool__"),
    Recovery._is_changelog_tp: ("70bf80ac", "asks changelog_topics"),
    Collection.on_start: ("e1193616", "starts the store; declares no topic when told not to"),
    RocksDBOptions.open: ("498aaf9e", "RetryFiles opens with it"),
    RocksDBStore._iteritems: ("ea0f864f", "reads what RetriesStore._dbs_for_actives gives"),
    mode.Worker._install_signal_handlers_unix: (
        "13864ac9",
        "Deadline.watch wraps the loop's handlers",
    ),
    Fetcher.fetched_records: (
        "cba7b2c6",
        "ConsumerThread._fetch takes the position in the same step",
    ),
    Fetcher._proc_fetch_request: (
        "7ba996ef",
        "makes MemoryRecords by that name; stores in _records",
    ),
    Fetcher._fetch_requests_routine: (
        "7160550b",
        "FetchResults wakes _fetch_waiters before it; what was taken is asked for anew",
    ),
    FetchResult.getall: ("9669e7e2", "FetchResults._take_all replaces it"),
    PartitionRecords._unpack_records: (
        "cd3e03d0",
        "_batches does its work; TolerantBatch.__iter__ relies on it",
    ),
    _DefaultRecordBatchPy._read_msg: ("894f0010", "LenientBatch._read_msg replaces it"),
    AIOKafkaConnection._do_sasl_handshake: (
        "427f2c9e",
        "challenge.OAuthAuthenticator is given the challenge, and what it returns is sent",
    ),
    AIOKafkaConnection.authenticator_oauth: (
        "8b0eae77",
        "hear_refusals replaces the class it looks up",
    ),
    OAuthAuthenticator.step: ("b87c286b", "challenge.OAuthAuthenticator.step comes before it"),
    AddPartitionsToTxnHandler.handle_response: (
        "509a775f",
        "producer_link.py shortens BACKOFF_OVERRIDE, which it reads from its module",
    ),
    GroupCoordinator._GroupCoordinator__coordination_routine: (
        "293b2d58",
        "waits for a subscription once leave_group has taken the old one away",
    ),
    SubscriptionState.unsubscribe: (
        "cbe56a7d",
        "leave_group: the old subscription ends, no goodbye",
    ),
    driver.ConsumerRebalanceListener.on_partitions_revoked: (
        "7dae40ad",
        "ConsumerThread._revoke_all calls it as a rebalance does",
    ),
    GroupCoordinator.ensure_active_group: (
        "24f80ff4",
        "heartbeats go on while revocation is awaited",
    ),
}


@pytest.mark.parametrize(("package", "version"), PINNED.items())
def test_versions_are_those_that_were_read(package, version):
    """An upgrade is a decision, not something that an installation does by itself."""
    found = importlib.metadata.version(package)
    assert found == version, f"{package} is {found}, and {version} was read: {HELP}"


@pytest.mark.parametrize("cls", OVERRIDES, ids=lambda cls: cls.__name__)
def test_overrides_override_something(cls):
    """Each name that ours replace still exists in a base class."""
    for name in OVERRIDES[cls]:
        assert name in vars(cls), f"{cls.__name__}.{name} is gone from our code: shorten OVERRIDES"
        inherited = any(name in vars(base) for base in cls.__mro__[1:] if base is not object)
        assert inherited, f"{cls.__name__}.{name} overrides nothing any more: {HELP}"


@pytest.mark.parametrize("cls", USED, ids=lambda cls: cls.__name__)
def test_used_names_exist(cls):
    """Methods, properties, and attributes that a class sets on itself."""
    known = {name for base in cls.__mro__ for name in _names_of(base)}
    missing = [name for name in USED[cls].split() if name not in known]
    assert not missing, f"{cls.__name__} has no {missing} any more: {HELP}"


@pytest.mark.parametrize("function", SIGNATURES, ids=lambda function: function.__qualname__)
def test_signatures_are_as_we_call_them(function):
    """Names and order of the parameters."""
    parameters = inspect.signature(function).parameters
    assert f"({', '.join(parameters)})" == SIGNATURES[function], f"{function.__qualname__}: {HELP}"


@pytest.mark.parametrize("function", READ, ids=lambda function: function.__qualname__)
def test_functions_are_what_was_read(function):
    """Their code (comments and layout aside) is what ours was written for."""
    digest, reason = READ[function]
    assert _digest(function) == digest, f"{function.__qualname__} changed ({reason}): {HELP}"


def test_the_fetcher_reads_with_a_name_that_can_be_replaced():
    """``tolerate_any_header_name`` puts ours in place of ``MemoryRecords`` in that module."""
    names = Fetcher._proc_fetch_request.__code__.co_names
    assert {"MemoryRecords", "PartitionRecords", "FetchResult"} <= set(names), HELP
    public = {"has_next", "next_batch", "size_in_bytes"}
    assert public <= set(vars(TolerantRecords))
    used = {n for f in (Fetcher._proc_fetch_request, PartitionRecords._unpack_records)
            for n in f.__code__.co_names}  # fmt: skip
    assert public <= used, HELP


def _names_of(cls):
    """Return what a class has, and what it or its methods set on ``self``."""
    names = set(vars(cls)) | set(getattr(cls, "__annotations__", {}))
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    except (OSError, TypeError):  # written in C
        return names
    return names | {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    }


def _digest(function):
    # Not the syntax tree: that differs between versions of Python.
    source = inspect.getsource(inspect.unwrap(function))
    without_comments = re.sub(r"^\s*#.*$", "", source, flags=re.MULTILINE)
    return hashlib.sha256("".join(without_comments.split()).encode()).hexdigest()[:8]


if __name__ == "__main__":
    for _function in READ:
        print(_digest(_function), _function.__qualname__)

"""deploy/k8s: valid for Kubernetes, complete for the topology, and as strict as it says."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from tests.manifests.manifests import (
    OVERLAYS,
    known_settings,
    of_kind,
    resources,
    settings_named_in,
)
from tests.support.certificates import Authority
from tests.support.missing import unavailable
from trunkline.settings import Settings, load_settings
from trunkline.topics.acls import LAG_READER, rights_of
from trunkline.topology import SERVICES, Topology

#: The oldest and the newest that are promised.
VERSIONS = ("1.31", "1.35")
NODE = Path(__file__).parent / "node"
CONSUMERS = {service.name: service for service in SERVICES if service.group}
OTHERS = {service.name for service in SERVICES if not service.group}


def of_keda(resource: dict[str, Any]) -> bool:
    return str(resource["apiVersion"]).startswith("keda.sh/")


def workloads() -> dict[str, dict[str, Any]]:
    return of_kind("StatefulSet", "Deployment", "Job")


def pod_of(workload: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = workload["spec"]["template"]["spec"]
    return spec


def worker_of(workload: dict[str, Any]) -> dict[str, Any]:
    (container,) = pod_of(workload)["containers"]
    worker: dict[str, Any] = container
    return worker


def env_of(workload: dict[str, Any]) -> dict[str, Any]:
    return {entry["name"]: entry for entry in worker_of(workload)["env"]}


def refusal_of(resource: dict[str, Any], version: str = VERSIONS[-1]) -> str:
    """Return why the schemas refuse a resource, and where; nothing when they do not."""
    try:
        kubernetes_validate.validate(resource, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{'.'.join(map(str, error.path))}: {error.message}"
    return ""


@pytest.fixture(scope="module")
def keda_validator() -> Path:
    """Install the validators of KEDA's resources, once; return the script that runs them."""
    if not (NODE / "node_modules/@kubernetes-models/keda").is_dir():
        command = ["npm", "ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"]
        try:
            subprocess.run(command, cwd=NODE, check=True, timeout=120)
        except FileNotFoundError:
            unavailable("npm is missing.")
    return NODE / "validate_keda.mjs"


def keda_refusals(validator: Path, *found: dict[str, Any]) -> list[str]:
    done = subprocess.run(
        ["node", validator], input=json.dumps(found), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    refusals: list[str] = json.loads(done.stdout)
    return refusals


@pytest.mark.parametrize(
    ("overlay", "version"),
    [("example", VERSIONS[0]), ("example", VERSIONS[1]), ("development", VERSIONS[1])],
)
def test_every_resource_is_valid(overlay: str, version: str) -> None:
    """By the schemas of the oldest and the newest Kubernetes, unknown fields refused."""
    checked = [resource for resource in resources(OVERLAYS / overlay) if not of_keda(resource)]

    refusals = {f"{r['kind']} {r['metadata']['name']}": refusal_of(r, version) for r in checked}

    assert {name: why for name, why in refusals.items() if why} == {}
    assert len(checked) > 30


def test_a_broken_resource_is_refused() -> None:
    """The check itself: a field that does not exist, one of the wrong type, one that is missing."""
    misspelt, wrong, missing = (of_kind("StatefulSet")["engine"] for _ in range(3))
    worker_of(misspelt)["readynessProbe"] = {}
    wrong["spec"]["replicas"] = "two"
    del missing["spec"]["selector"]

    assert "readynessProbe" in refusal_of(misspelt)
    assert "'two' is not of type" in refusal_of(wrong)
    assert "'selector' is a required property" in refusal_of(missing)


def test_keda_resources_are_valid(keda_validator: Path) -> None:
    """By KEDA's own types; a broken one is refused."""
    found = [resource for resource in resources() if of_keda(resource)]
    assert {resource["kind"] for resource in found} == {"ScaledObject", "TriggerAuthentication"}
    assert keda_refusals(keda_validator, *found) == []

    broken = of_kind("ScaledObject")["engine"]
    broken["spec"]["maxReplicaCount"] = "four"
    (refusal,) = keda_refusals(keda_validator, broken)
    assert "maxReplicaCount must be integer" in refusal


def test_keda_may_ask_for_what_it_scales_on() -> None:
    """The role of ``trunkline topics acls`` covers each trigger, and gives no event away."""
    rights = rights_of(Topology(), LAG_READER).acls
    assert {acl.operations for acl in rights} == {("Describe",)}
    described = {(acl.resource, acl.name) for acl in rights}
    for resource in resources():
        if of_keda(resource) and resource["kind"] == "ScaledObject":
            for trigger in resource["spec"]["triggers"]:
                asked = trigger["metadata"]
                assert ("group", asked["consumerGroup"]) in described
                assert ("topic", asked["topic"]) in described


def test_keda_scales_what_lags_up_to_its_partitions() -> None:
    """Group, topics and partitions are those of the topology; it alone says how many pods."""
    known = {"bootstrapServers", "consumerGroup", "topic", "lagThreshold", "offsetResetPolicy"}
    topology = Topology()
    scaled = of_kind("ScaledObject")
    assert set(scaled) == {"db-server", "engine", "activity-processor"}

    for name, resource in scaled.items():
        spec, service = resource["spec"], CONSUMERS[name]
        triggers = [trigger["metadata"] for trigger in spec["triggers"]]
        assert {t["consumerGroup"] for t in triggers} == {service.group}
        assert tuple(t["topic"] for t in triggers) == service.reads
        assert spec["maxReplicaCount"] == max(topology.topic(t).partitions for t in service.reads)
        assert spec["minReplicaCount"] <= service.pods
        # No schema knows a trigger's settings: they are strings under any name.
        assert all(known | {"allowIdleConsumers"} == set(t) for t in triggers)
        target = of_kind(spec["scaleTargetRef"]["kind"])[spec["scaleTargetRef"]["name"]]
        assert "replicas" not in target["spec"]


def test_every_service_of_the_topology_has_its_workload() -> None:
    """A StatefulSet with a volume where there is a group, else a Deployment; and its budget."""
    assert set(of_kind("StatefulSet")) == set(CONSUMERS)
    assert set(of_kind("Deployment")) == OTHERS
    assert set(of_kind("PodDisruptionBudget")) == {service.name for service in SERVICES}
    for name, workload in workloads().items():
        labels = workload["spec"]["template"]["metadata"]["labels"]
        # The name is the Kafka user's too.
        user = "topics-admin" if name == "topics" else name
        assert labels["app.kubernetes.io/name"] == user
        password = env_of(workload)["KAFKA_SASL_PASSWORD"]["valueFrom"]["secretKeyRef"]
        assert password == {"name": "kafka-passwords", "key": user}
        if name != "topics":
            assert env_of(workload)["TRUNKLINE_SERVICE"]["value"] == name
            assert workload["spec"]["selector"]["matchLabels"].items() <= labels.items()
            budget = of_kind("PodDisruptionBudget")[name]["spec"]
            assert budget["selector"]["matchLabels"].items() <= labels.items()
    for workload in of_kind("StatefulSet").values():
        (claim,) = workload["spec"]["volumeClaimTemplates"]
        mounts = {
            mount["name"]: mount["mountPath"] for mount in worker_of(workload)["volumeMounts"]
        }
        assert mounts[claim["metadata"]["name"]] == "/data"


def test_the_pods_name_is_the_static_membership_id() -> None:
    """It is the same after a restart in a StatefulSet."""
    for workload in workloads().values():
        name = env_of(workload)["TRUNKLINE_POD"]["valueFrom"]["fieldRef"]["fieldPath"]
        assert name == "metadata.name"
    assert settings_of_all()["TRUNKLINE_STATIC_MEMBERSHIP"] == "true"


def settings_of_all() -> dict[str, str]:
    (given,) = of_kind("ConfigMap").values()
    data: dict[str, str] = given["data"]
    return data


def test_every_setting_that_is_given_exists() -> None:
    """A misspelt variable would be passed over without a word."""
    named = set(settings_of_all())
    for workload in workloads().values():
        named |= set(env_of(workload))

    assert settings_named_in(named) == named
    assert named <= known_settings()


@pytest.mark.parametrize("overlay", ["example", "development"])
def test_every_pod_accepts_its_settings(
    overlay: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the ConfigMap, the pod and its mounted Secrets give them."""
    Authority(tmp_path, "ca").ca_file.rename(tmp_path / "ca.crt")
    (tmp_path / "token").write_text("0123456789abcdef0123456789abcdef")
    for name in known_settings():
        monkeypatch.delenv(name, raising=False)
    folder = OVERLAYS / overlay
    (given,) = of_kind("ConfigMap", folder=folder).values()

    for workload in of_kind("StatefulSet", "Deployment", "Job", folder=folder).values():
        own = {name: entry.get("value", "secret") for name, entry in env_of(workload).items()}
        for name, value in {**given["data"], **own}.items():
            mounted = re.sub(r"^/etc/trunkline/[a-z]+", str(tmp_path), value)
            monkeypatch.setenv(name, mounted)
        settings = load_settings()
        assert settings.http_token
        assert bool(settings.connection.security) == (overlay == "example")
        for name in own:
            monkeypatch.delenv(name)


def test_no_secret_stands_in_a_manifest() -> None:
    """Passwords come from Secrets that are made elsewhere."""
    assert of_kind("Secret") == {}
    for workload in workloads().values():
        for variable in ("KAFKA_SASL_PASSWORD", "DATABASE_URL"):
            assert "value" not in env_of(workload).get(variable, {})


def test_every_pod_keeps_the_restricted_standard() -> None:
    """Kubernetes' Pod Security Standard "restricted", and a read-only root besides."""
    for workload in workloads().values():
        pod, worker = pod_of(workload), worker_of(workload)
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 10001  # the image's
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert worker["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"requests", "limits"} <= set(worker["resources"])
        assert "memory" in worker["resources"]["limits"]


def test_a_pod_has_time_to_end_and_is_asked_what_it_serves() -> None:
    """Beyond the drain and the pause before it; probes on the health endpoints."""
    for workload in of_kind("StatefulSet", "Deployment").values():
        pod, worker = pod_of(workload), worker_of(workload)
        pause = worker.get("lifecycle", {"preStop": {"exec": {"command": ["sleep", "0"]}}})
        needs_s = float(pause["preStop"]["exec"]["command"][1]) + Settings().shutdown_timeout_s
        assert pod["terminationGracePeriodSeconds"] >= needs_s + 10
        paths = {probe: worker[probe]["httpGet"]["path"] for probe in worker if "Probe" in probe}
        assert paths == {
            "startupProbe": "/health/live",
            "livenessProbe": "/health/live",
            "readinessProbe": "/health/ready",
        }


def test_everything_is_denied_but_what_is_named() -> None:
    """Kafka for all, the database for those that have its URL, clients to those that serve."""
    policies = {name: policy["spec"] for name, policy in of_kind("NetworkPolicy").items()}
    assert set(policies) == {"default-deny", "dns", "kafka", "database", "clients", "metrics"}
    deny = policies["default-deny"]
    assert set(deny["policyTypes"]) == {"Ingress", "Egress"}
    assert "ingress" not in deny
    assert "egress" not in deny
    for policy in policies.values():
        assert policy["podSelector"]["matchLabels"]["app.kubernetes.io/part-of"] == "trunkline"
    asked = {s["spec"]["selector"]["app.kubernetes.io/name"] for s in _named_services()}
    for name, workload in workloads().items():
        labels = workload["spec"]["template"]["metadata"]["labels"]
        assert labels["app.kubernetes.io/part-of"] == "trunkline"
        has_database = "DATABASE_URL" in env_of(workload)
        assert (labels.get("trunkline/database") == "yes") == has_database, name
        assert (labels.get("trunkline/serves") == "yes") == (name in asked), name


def _named_services() -> list[dict[str, Any]]:
    services = of_kind("Service").values()
    return [s for s in services if "app.kubernetes.io/name" in s["spec"]["selector"]]

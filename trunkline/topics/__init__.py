"""The topology against the cluster: what differs, making it so, and what a worker needs to start.

changes = await plan(settings.connection, Topology())
changes = await apply(settings.connection, Topology(), grow=True)
await check_service_topics(settings.connection, Topology(), "engine")
"""

from trunkline.topics.administration import apply, check_service_topics, plan
from trunkline.topics.difference import Difference, Plan, TopicPlan
from trunkline.topics.requirements import check_for_service
from trunkline.topics.view import ClusterTopic, ClusterView

__all__ = [
    "ClusterTopic",
    "ClusterView",
    "Difference",
    "Plan",
    "TopicPlan",
    "apply",
    "check_for_service",
    "check_service_topics",
    "plan",
]

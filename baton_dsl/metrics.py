"""Metrics for Prometheus: about the steps of this process, and about the queues and workflows in the database.

`baton worker --metrics-port 9102` serves them. An application that runs Oban in its own process can put them into its
own registry. This needs the extra `metrics`.

Example:
    ```python
    from baton_dsl import metrics

    metrics.install()                     # into the default registry of prometheus_client
    ```

Labels are only flows, steps, queues, models and states, so the number of series is bounded: ids and labels of workflows
and indexes of items are not used.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, LiteralString

import psycopg
from oban import telemetry

from baton_dsl.extras import needed

with needed():
    from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram
    from prometheus_client.core import GaugeMetricFamily, Metric
    from prometheus_client.exposition import choose_encoder
    from prometheus_client.registry import Collector

from baton_dsl.core.items import step_of
from baton_dsl.runtime.database.database import Database
from baton_dsl.runtime.database.snapshot import Reading, Row, read_sync
from baton_dsl.runtime.executing import around
from baton_dsl.runtime.oban.jobs import outcome_of
from baton_dsl.runtime.observing.fleet import QueueStatus, nodes, queues

if TYPE_CHECKING:
    from oban import Job

    from baton_dsl.runtime.executing.around import Attempt, Link, Origin

__all__ = ["exposition", "install", "uninstall"]

logger = logging.getLogger(__name__)

SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0)
"""The bounds of the histograms' buckets, in seconds."""
FRESH: Final = 5.0
"""Seconds for which values from the database are cached."""

_ID: Final = "baton-metrics"
_FLOW: Final = "baton_flow"
_SECOND: Final = 1_000_000_000


def install(
    registry: CollectorRegistry = REGISTRY,
    *,
    database: bool = True,
    dsn: str | None = None,
    prefix: str | None = None,
    oban: str = "Oban",
) -> None:
    """Start to count what steps do, and register the metrics. Calling it again moves them to another registry.

    Args:
        registry: The registry; default: that of prometheus_client.
        database: Whether to include the metrics of workflows and queues. They are read from the database when
            Prometheus asks for them, but not more often than every five seconds. It is enough if one of many processes
            has them.
        dsn: The database for them; default: that of the Oban instance, or else of `BATON_DSN` or `OBAN_DSN`.
        prefix: The schema of Oban's tables; default: that of the Oban instance.
        oban: The name of the Oban instance.
    """
    uninstall()
    steps = _Steps(registry)
    registered: list[Collector] = [steps.attempts, steps.duration, steps.wait]
    if database:
        shared = _Shared(lambda: Database.configured(dsn=dsn, prefix=prefix, oban=oban))
        registry.register(shared)
        registered.append(shared)
    around.observe(steps)
    telemetry.attach(_ID, ["oban.job.stop", "oban.job.exception"], steps.count)
    _installed.append((registry, registered, steps))


def exposition(accepted: str = "", registry: CollectorRegistry = REGISTRY) -> tuple[bytes, str]:
    """The metrics of a registry in the format of Prometheus, for an endpoint of your own.

    Args:
        accepted: The header `Accept` of the request.
        registry: The registry.

    Returns:
        The body, and its content type.
    """
    encode, kind = choose_encoder(accepted)
    return encode(registry), kind


def uninstall() -> None:
    """Stop counting, and remove the metrics from their registry."""
    telemetry.detach(_ID)
    while _installed:
        registry, registered, steps = _installed.pop()
        around.forget(steps)
        for collector in registered:
            registry.unregister(collector)


_installed: list[tuple[CollectorRegistry, list[Collector], _Steps]] = []


class _Steps:
    """Counts the attempts of this process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ("flow", "step")
        self.attempts = Counter(
            "baton_step_attempts",
            "Attempts that have ended: completed, skipped, failed (and retried), discarded, cancelled or snoozed.",
            (*labels, "outcome"),
            registry=registry,
        )
        self.duration = Histogram(
            "baton_step_duration_seconds", "How long attempts took.", labels, buckets=SECONDS, registry=registry
        )
        self.wait = Histogram(
            "baton_step_wait_seconds",
            "How long steps waited in their queue after they were ready.",
            labels,
            buckets=SECONDS,
            registry=registry,
        )
        self._series: dict[tuple[str, str, str], tuple[Counter, Histogram, Histogram]] = {}

    async def around(self, job: Job, origin: Origin | None, attempt: Attempt, link: Link) -> Any:
        """Remember the flow of an attempt, because its job does not name it."""
        if origin is not None:
            job.extra[_FLOW] = origin.flow
        return await attempt()

    def count(self, _event: str, data: dict[str, Any]) -> None:
        """Count an attempt that has ended."""
        job: Job = data["job"]
        node = job.meta.get("workflow_name")
        if node is None or "workflow_id" not in job.meta:
            return
        flow, step, state = job.extra.get(_FLOW, ""), step_of(node), data["state"]
        outcome = outcome_of(job, state)
        attempts, duration, wait = self._series.get((flow, step, outcome)) or self._made(flow, step, outcome)
        attempts.inc()
        duration.observe(data["duration"] / _SECOND)
        if state != "scheduled":
            wait.observe(max(0, data["queue_time"]) / _SECOND)

    def _made(self, flow: str, step: str, outcome: str) -> tuple[Counter, Histogram, Histogram]:
        """The series of these labels. They are kept here: to find them by their labels takes longer than to count."""
        series = (
            self.attempts.labels(flow, step, outcome),
            self.duration.labels(flow, step),
            self.wait.labels(flow, step),
        )
        self._series[flow, step, outcome] = series
        return series


# --- metrics that are the same in all processes
# -------------------------------------------------------------------------------------------

_IN_FLIGHT: Final[LiteralString] = """
    SELECT flow_name AS flow,
        CASE WHEN stopped_at IS NOT NULL THEN 'stopping' WHEN paused_at IS NOT NULL THEN 'paused' ELSE 'running' END
            AS standing,
        count(*) AS workflows
    FROM baton.baton_workflows
    WHERE outcome IS NULL
    GROUP BY 1, 2
"""

_COST: Final[LiteralString] = """
    SELECT coalesce(model, '') AS model, sum(cost) AS cost, sum(input_tokens) AS input, sum(output_tokens) AS output
    FROM baton.baton_usage
    WHERE recorded_at > now() - interval '1 hour'
    GROUP BY 1
"""


class _Shared(Collector):
    """Reads the metrics of workflows and queues from the database on each scrape, but not too often.

    Args:
        database: Returns the database. It is called at the first read, because the Oban instance exists only then.
    """

    def __init__(self, database: Any) -> None:
        self._database = database
        self._told: list[Metric] = []
        self._read_at = float("-inf")

    def describe(self) -> Iterable[Metric]:
        """Return nothing, so that registering reads nothing."""
        return []

    def collect(self) -> Iterable[Metric]:
        """Read the metrics; if the database does not answer, return only that."""
        if time.monotonic() - self._read_at < FRESH:
            return self._told
        up = GaugeMetricFamily("baton_database_up", "1 if the database answers, else 0.")
        try:
            found = read_sync(self._database(), _everything())
        except (psycopg.Error, OSError) as error:
            logger.warning("the database does not answer for the metrics: %s", " ".join(str(error).split()))
            up.add_metric([], 0)
            return [up]
        up.add_metric([], 1)
        self._told, self._read_at = [up, *found], time.monotonic()
        return self._told


def _everything() -> Reading[list[Metric]]:
    found = yield from queues()
    processes = yield from nodes()
    flows = yield _IN_FLIGHT, {}
    costs = yield _COST, {}
    alive = sum(process.is_alive for process in processes)
    node = GaugeMetricFamily("baton_nodes", "Processes that run steps.")
    node.add_metric([], alive)
    return [*_of_queues(found), node, _of_flows(flows), *_of_costs(costs)]


def _of_queues(found: Iterable[QueueStatus]) -> Iterator[Metric]:
    jobs = GaugeMetricFamily("baton_queue_jobs", "Jobs by state, at most 100,001.", labels=["queue", "state"])
    oldest = GaugeMetricFamily(
        "baton_queue_oldest_ready_seconds",
        "How long the oldest ready job has waited; 0 if no job is ready.",
        labels=["queue"],
    )
    slots = GaugeMetricFamily(
        "baton_queue_slots", "How many jobs of a queue all nodes together run at once.", labels=["queue"]
    )
    for queue in found:
        for state in ("ready", "running", "retrying", "scheduled"):
            jobs.add_metric([queue.name, state], getattr(queue, state))
        oldest.add_metric([queue.name], queue.oldest_ready.total_seconds() if queue.oldest_ready else 0)
        slots.add_metric([queue.name], queue.slots if queue.is_served else 0)
    yield from (jobs, oldest, slots)


def _of_flows(rows: Iterable[Row]) -> Metric:
    in_flight = GaugeMetricFamily(
        "baton_workflows_in_flight", "Workflows that have not ended.", labels=["flow", "standing"]
    )
    for row in rows:
        in_flight.add_metric([row["flow"], row["standing"]], row["workflows"])
    return in_flight


def _of_costs(rows: Iterable[Row]) -> Iterator[Metric]:
    cost = GaugeMetricFamily(
        "baton_usage_cost_last_hour",
        "Cost of models in the last hour, in US dollars.",
        labels=["model"],
    )
    tokens = GaugeMetricFamily(
        "baton_usage_tokens_last_hour", "Tokens of models in the last hour.", labels=["model", "direction"]
    )
    for row in rows:
        if row["cost"] is not None:
            cost.add_metric([row["model"]], float(row["cost"]))
        tokens.add_metric([row["model"], "input"], int(row["input"]))
        tokens.add_metric([row["model"], "output"], int(row["output"]))
    yield from (cost, tokens)

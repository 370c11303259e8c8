"""The doctor's checks of workflows: for each problem, a query and a sentence for its rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, LiteralString

from baton_dsl.core.diagnostics import quoted
from baton_dsl.core.wording import counted, money
from baton_dsl.runtime.database.snapshot import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One finding of the doctor.

    Attributes:
        message: The finding, in a sentence.
        help: What to do about it.
        is_wrong: Whether something is wrong; False for advice.
    """

    message: str
    help: str
    is_wrong: bool = True


@dataclass(frozen=True, slots=True)
class Check:
    """A query whose rows are findings, and a function that words them. Its parameter is `retain`, an interval."""

    query: LiteralString
    tell: Callable[[Row], Finding]


def _unserved(row: Row) -> Finding:
    queue = row["queue"]
    due = f'{counted(row["jobs"], "job")} could start in queue "{queue}"'
    if row["nodes"]:
        return Finding(
            message=f"{due}, which is paused on all nodes that run it",
            help=f"resume it: baton queue resume {queue}",
        )
    return Finding(message=f"{due}, which no worker runs", help=f"start one: baton worker MODULE --queues {queue}")


def _jobless(row: Row) -> Finding:
    return Finding(
        message=f'steps of workflow "{row["workflow_id"]}" have lost their jobs and will never settle: '
        f"{quoted(row['steps'])}",
        help=f"cancel the rest of it: baton cancel {row['workflow_id']}",
    )


def _nodeless(row: Row) -> Finding:
    ids = ", ".join(map(str, row["ids"]))
    return Finding(
        message=f"{counted(row['jobs'], 'job')} of deleted workflows can't run",
        help=f"cancel them: await oban.cancel_many_jobs([{ids}{', ...' if row['jobs'] > len(row['ids']) else ''}])",
    )


def _abandoned(row: Row) -> Finding:
    return Finding(
        message=f"{counted(row['jobs'], 'step')} ran on node {row['node']}, whose process is gone",
        help="start a worker, for any queue: it returns these steps to their queues within seconds",
    )


def _kept(row: Row) -> Finding:
    return Finding(
        message=f"{counted(row['jobs'], 'step')} ran on node {row['node']}, which shows no sign of life, but another "
        f"session (process {row['pid']} of the server) still holds its lock: a pooler has kept it",
        help=f"end that session in psql: SELECT pg_terminate_backend({row['pid']}); and start workers behind a pooler "
        "with --direct-dsn",
    )


def _hung(row: Row) -> Finding:
    return Finding(
        message=f"node {row['node']} has lost {counted(row['threads'], 'thread')} to steps that timed out and go on",
        help="give the calls in these steps time limits of their own: the worker's log names them, and with 100 lost "
        "threads it takes no further jobs",
        is_wrong=False,
    )


def _absent(row: Row) -> Finding:
    return Finding(
        message=f"{counted(row['jobs'], 'job')} can't run on {quoted(row['nodes'])}, which lacks the code: "
        f"{row['reason']}",
        help="deploy that code to every worker that runs the queue; the jobs wait for it, and lose no attempt",
    )


def _unheard(row: Row) -> Finding:
    ids = ",".join(map(str, row["ids"]))
    return Finding(
        message=f'{counted(len(row["ids"]), "step")} of workflow "{row["workflow_id"]}" did not settle, '
        f"though the job is {row['state']}: a trigger was off",
        help=f"settle them in psql: SELECT baton_end('{{{ids}}}', '{row['state']}')",
    )


def _miscounted(row: Row) -> Finding:
    return Finding(
        message=f'workflow "{row["workflow_id"]}": {row["what"]}',
        help=f"recount them in psql: SELECT baton_revive('{row['workflow_id']}')",
    )


_UNITS: Final = (("day", "d", 86400), ("hour", "h", 3600), ("minute", "m", 60), ("second", "s", 1))


def _in_units(age: timedelta) -> tuple[float, str, str]:
    """Express an age as a whole number of the largest possible unit."""
    seconds = age.total_seconds()
    word, letter, unit = next((each for each in _UNITS if seconds >= each[2] and seconds % each[2] == 0), _UNITS[-1])
    return seconds / unit, word, letter


def age_option(age: timedelta) -> str:
    """Format an age for a command-line option.

    Examples:
        >>> [age_option(timedelta(seconds=seconds)) for seconds in (0, 0.5, 90, 5400, 43_200, 604_800, 86_400_000_000)]
        ['0s', '0.5s', '90s', '90m', '12h', '7d', '1000000d']
    """
    number, _, letter = _in_units(age)
    return f"{number:.10g}{letter}"


def age_in_words(age: timedelta) -> str:
    """Format an age in words, in one unit.

    Examples:
        >>> [age_in_words(timedelta(seconds=seconds)) for seconds in (1, 5400, 604_800)]
        ['1 second', '90 minutes', '7 days']
    """
    number, word, _ = _in_units(age)
    return f"{number:,.10g} {word}{'' if number == 1 else 's'}"


def _unaffordable(row: Row) -> Finding:
    budget = f"{money(row['spent'])} of {money(row['budget'])} is spent"
    return Finding(
        message=f'{counted(row["steps"], "step")} of workflow "{row["workflow_id"]}" '
        f"{'waits' if row['steps'] == 1 else 'wait'} for more than is left of its budget, of which {budget}",
        help=f"approve more: baton approve {row['workflow_id']} --budget {money(row['spent'] + row['least'])}",
        is_wrong=False,
    )


def _outlived(row: Row) -> Finding:
    age: timedelta = row["retain"]
    return Finding(
        message=f"{counted(row['workflows'], 'workflow')} ended more than {age_in_words(age)} ago, and "
        f"{'is' if row['workflows'] == 1 else 'are'} kept with all results",
        help=f"remove them: baton prune --older-than {age_option(age)}, or baton worker --retain {age_option(age)}",
        is_wrong=False,
    )


AILMENTS: Final = (
    Check(
        """
        SELECT due.queue, due.jobs, producers.nodes
        FROM (
            SELECT queue, count(*) AS jobs
            FROM baton.oban_jobs
            WHERE state IN ('available', 'scheduled', 'retryable')
                AND scheduled_at <= timezone('UTC', now())
                AND meta ?| ARRAY['workflow_id', 'baton_hook']
            GROUP BY queue
        ) AS due
        CROSS JOIN LATERAL (
            SELECT count(*) AS nodes,
                count(*) FILTER (WHERE NOT coalesce((producer.meta ->> 'paused')::boolean, false)) AS working
            FROM baton.oban_producers AS producer
            WHERE producer.queue = due.queue AND baton.baton_lives(producer.uuid::text)
        ) AS producers
        WHERE producers.working = 0
        ORDER BY due.queue
        """,
        _unserved,
    ),
    Check(
        """
        SELECT absent.reason, count(*) AS jobs, array_agg(DISTINCT absent.node ORDER BY absent.node) AS nodes
        FROM (
            SELECT attempted_by[1] AS node, meta #>> '{baton_absent,reason}' AS reason
            FROM baton.oban_jobs
            WHERE state IN ('scheduled', 'available')
                AND meta ? 'baton_absent'
                AND (meta #>> '{baton_absent,of}')::timestamptz = attempted_at AT TIME ZONE 'UTC'
        ) AS absent
        GROUP BY absent.reason
        ORDER BY absent.reason
        LIMIT 20
        """,
        _absent,
    ),
    Check(
        """
        SELECT workflow_id, array_agg(node.step_name ORDER BY node.oban_job_id) AS steps
        FROM baton.baton_workflows AS workflow
        JOIN baton.workflow_nodes AS node USING (workflow_id)
        WHERE workflow.settled_at IS NULL
            AND node.outcome IS NULL
            AND NOT node.is_map
            AND NOT EXISTS (SELECT FROM baton.oban_jobs AS job WHERE job.id = node.oban_job_id)
        GROUP BY workflow_id
        ORDER BY workflow_id
        LIMIT 20
        """,
        _jobless,
    ),
    Check(
        """
        SELECT count(*) AS jobs, (array_agg(job.id ORDER BY job.id))[:5] AS ids
        FROM baton.oban_jobs AS job
        WHERE job.meta ? 'workflow_id'
            AND job.state NOT IN ('completed', 'cancelled', 'discarded')
            AND NOT EXISTS (SELECT FROM baton.workflow_nodes AS node WHERE node.oban_job_id = job.id)
        HAVING count(*) > 0
        """,
        _nodeless,
    ),
    Check(
        # Ten seconds, because a running node rescues such steps after three.
        """
        WITH running AS MATERIALIZED ( -- so that each producer is looked up once, not for each of its jobs
            SELECT attempted_by[1] AS node, attempted_by[2] AS producer, count(*) AS jobs
            FROM baton.oban_jobs
            WHERE state = 'executing'
                AND meta ? 'workflow_id'
                AND attempted_at < timezone('UTC', now()) - interval '10 seconds'
            GROUP BY 1, 2
        )
        SELECT running.node, sum(running.jobs)::bigint AS jobs
        FROM running
        WHERE NOT baton.baton_lives(running.producer)
        GROUP BY running.node
        ORDER BY running.node
        """,
        _abandoned,
    ),
    Check(
        # A guard sends a statement every second, and Oban a heartbeat every 15.
        """
        SELECT running.node, holder.pid, sum(running.jobs)::bigint AS jobs
        FROM (
            SELECT attempted_by[1] AS node, attempted_by[2] AS producer, count(*) AS jobs
            FROM baton.oban_jobs
            WHERE state = 'executing' AND meta ? 'workflow_id'
            GROUP BY 1, 2
        ) AS running
        JOIN pg_locks AS lock
            ON lock.locktype = 'advisory'
            AND lock.database = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND lock.objsubid = 1
            AND lock.granted
            AND (lock.classid::bigint << 32) | lock.objid::bigint = baton.baton_producer_key(running.producer)
        JOIN pg_stat_activity AS holder ON holder.pid = lock.pid
        WHERE (
                holder.query !~ 'baton_(guard|rescue|producer_key)'
                OR holder.state_change < now() - interval '30 seconds'
            )
            AND NOT EXISTS (
                SELECT
                FROM baton.oban_producers AS producer
                WHERE producer.uuid::text = running.producer
                    AND producer.updated_at > timezone('UTC', now()) - interval '60 seconds'
            )
        GROUP BY running.node, holder.pid
        ORDER BY running.node, holder.pid
        """,
        _kept,
    ),
    Check(
        # The number is the same for all queues of a process.
        """
        SELECT node, max((meta ->> 'baton_lost_threads')::integer) AS threads
        FROM baton.oban_producers
        WHERE (meta ->> 'baton_lost_threads')::integer > 0 AND baton.baton_lives(uuid::text)
        GROUP BY node
        ORDER BY node
        """,
        _hung,
    ),
    Check(
        """
        SELECT workflow_id, job.state::text AS state, array_agg(job.id ORDER BY job.id) AS ids
        FROM baton.baton_workflows AS workflow
        JOIN baton.workflow_nodes AS node USING (workflow_id)
        JOIN baton.oban_jobs AS job ON job.id = node.oban_job_id
        WHERE workflow.settled_at IS NULL
            AND node.outcome IS NULL
            AND job.state IN ('completed', 'cancelled', 'discarded')
        GROUP BY workflow_id, job.state
        ORDER BY workflow_id, state
        LIMIT 20
        """,
        _unheard,
    ),
    Check(
        """
        WITH counted AS (
            SELECT node.workflow_id, node.oban_job_id, node.pending, waits.pending AS waits
            FROM baton.baton_waits(ARRAY(
                SELECT workflow_id FROM baton.baton_workflows WHERE settled_at IS NULL
            )) AS waits
            JOIN baton.workflow_nodes AS node ON node.oban_job_id = waits.id
        )
        SELECT workflow_id, CASE count(*)
                WHEN 1 THEN 'the pending count of 1 step is wrong'
                ELSE 'the pending counts of ' || count(*) || ' steps are wrong'
            END AS what
        FROM counted
        LEFT JOIN baton.oban_jobs AS job ON job.id = counted.oban_job_id
        WHERE counted.pending <> counted.waits OR (
            counted.waits = 0
            AND job.state = 'suspended'
            AND NOT EXISTS (
                SELECT FROM baton.baton_reservations AS reservation -- it waits for a budget
                WHERE reservation.oban_job_id = counted.oban_job_id
                    AND reservation.attempt IS NULL
                    AND reservation.called_at IS NULL
            )
        )
        GROUP BY workflow_id
        ORDER BY workflow_id
        LIMIT 20
        """,
        _miscounted,
    ),
    Check(
        """
        SELECT workflow.workflow_id, 'its counts of settled steps are wrong' AS what
        FROM baton.baton_workflows AS workflow
        JOIN baton.workflow_nodes AS node USING (workflow_id)
        WHERE workflow.settled_at IS NULL AND node.map_id IS NULL
        GROUP BY workflow.workflow_id
        HAVING workflow.unsettled = 0
            OR workflow.unsettled <> count(*) FILTER (WHERE node.outcome IS NULL)
            OR workflow.cancelled <> count(*) FILTER (WHERE node.outcome = 'cancelled')
            OR workflow.discarded <> count(*) FILTER (WHERE node.outcome = 'discarded')
        ORDER BY workflow.workflow_id
        LIMIT 20
        """,
        _miscounted,
    ),
    Check(
        # Amounts that other steps have reserved become free without help.
        """
        SELECT workflow_id, own.budget, own.spent, count(*) AS steps, min(reservation.amount) AS least
        FROM baton.baton_reservations AS reservation
        JOIN baton.baton_budgets AS own USING (workflow_id)
        JOIN baton.oban_jobs AS job ON job.id = reservation.oban_job_id
        WHERE reservation.attempt IS NULL
            AND reservation.called_at IS NULL
            AND job.state = 'suspended'
            AND reservation.amount > own.budget - own.spent
        GROUP BY workflow_id, own.budget, own.spent
        ORDER BY workflow_id
        LIMIT 20
        """,
        _unaffordable,
    ),
    Check(
        """
        SELECT count(*) AS workflows, %(retain)s::interval AS retain
        FROM baton.baton_workflows
        WHERE settled_at < now() - %(retain)s::interval
        HAVING count(*) > 0
        """,
        _outlived,
    ),
)
"""The checks, in the order of their findings. All are read in one snapshot, so that concurrent changes look whole."""

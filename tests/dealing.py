"""In which order tests run beside each other: long modules first, so that none of them is left alone at the end.

The scheduler `worksteal` of xdist gives each worker a stretch of all tests, equally many to each, and later moves half
of what a worker has left, from the end of its stretch, to one that has run out. So each stretch begins with its share
of the long modules, whole ones, since some of them prepare for long; short tests follow, which are easy to move.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
LONG = {
    "integration/test_effects.py": 50,
    "docs/test_code_blocks.py": 43,
    "integration/test_silence.py": 39,
    "typecheck/test_mypy_cache.py": 36,
    "integration/test_insert.py": 28,
    "integration/test_faults.py": 28,
    "cli/test_first_errors.py": 26,
    "cli/test_on_a_database.py": 26,
    "integration/test_upgrade.py": 22,
    "integration/test_fan_out.py": 20,
    "testing/test_plugin.py": 19,
    "integration/test_outcomes.py": 18,
    "integration/test_large.py": 17,
    "typecheck/test_mypy_doors.py": 17,
    "crashes/test_named_points.py": 16,
    "integration/test_isolation.py": 13,
    "integration/test_poolers.py": 12,
    "integration/test_deploy.py": 12,
    "cli/test_end_of_a_worker.py": 12,
    "lint/test_ecosystem.py": 12,
    "integration/test_crash_counts.py": 12,
    "cli/test_operating_commands.py": 12,
    "typecheck/test_edges.py": 11,
    "integration/test_at_once.py": 11,
    "integration/test_defaults_of_the_database.py": 11,
    "testing/test_conformance.py": 10,
    "doors/test_text_and_live.py": 9,
    "integration/test_usage.py": 9,
    "integration/test_insert_many.py": 9,
    "integration/test_lifecycle.py": 9,
    "integration/test_absent_code.py": 9,
    "typecheck/test_mypy_cases.py": 8,
    "integration/test_fairness.py": 8,
    "integration/test_hostile_schema.py": 8,
    "integration/test_hops.py": 8,
    "lint/test_hostile_trees.py": 8,
    "adapters/test_agents.py": 7,
    "integration/test_ending.py": 7,
    "typecheck/test_doors_agree.py": 7,
    "integration/test_other_models.py": 6,
    "examples/test_shop_api.py": 6,
    "integration/test_tracing.py": 6,
    "integration/test_cancellation.py": 6,
    "docs/test_django_page.py": 6,
    "cli/test_check_deploy.py": 6,
    "crashes/test_once.py": 6,
    "lint/test_fuzz.py": 6,
    "examples/test_package_audit.py": 6,
    "integration/test_hands.py": 5,
    "integration/test_seeing.py": 5,
    "acceptance/test_scientific_workflows.py": 5,
    "typecheck/test_types_command.py": 5,
    "integration/test_processes.py": 5,
    "integration/test_run.py": 5,
    "crashes/test_together.py": 5,
    "typecheck/test_mypy_plugin.py": 4,
    "typing/test_plain_checkers.py": 4,
    "typecheck/test_mypy_examples.py": 4,
    "testing/test_in_memory.py": 4,
    "integration/test_retry_from.py": 4,
}
"""Seconds that the tests of a module take together, roughly: a module that is not here is a short one."""


def dealt(items: Sequence[pytest.Item], workers: int) -> list[pytest.Item]:
    """All tests in another order, in which each stretch of them begins with its share of the long modules.

    Args:
        items: The tests, by module.
        workers: How many stretches there will be.
    """
    modules = {path: list(tests) for path, tests in groupby(items, key=lambda item: item.path)}
    seconds = {path: LONG.get(path.relative_to(TESTS).as_posix(), 0) for path in modules if path.is_relative_to(TESTS)}
    stretches: list[list[pytest.Item]] = [[] for _ in range(workers)]
    taken = [0] * workers
    for path in sorted((path for path in seconds if seconds[path]), key=lambda path: -seconds[path]):
        least = min(range(workers), key=lambda worker: taken[worker])
        taken[least] += seconds[path]
        stretches[least] += modules.pop(path)
    short = [item for tests in modules.values() for item in tests]
    dealt: list[pytest.Item] = []
    for number, stretch in enumerate(stretches):
        size = (len(items) - len(dealt)) // (workers - number)
        missing = max(size - len(stretch), 0)
        dealt += [*stretch, *short[:missing]]
        del short[:missing]
    return dealt + short

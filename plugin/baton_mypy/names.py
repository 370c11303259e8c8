"""The full names of the DSL in mypy. Moving a class would break the plugin silently, so a test resolves each."""

from typing import Final

STEP_FUNCTION: Final = "baton_dsl.step.step"
STEP: Final = "baton_dsl.step.Step"
STEP_DECORATOR: Final = "baton_dsl.step.StepDecorator"
FROM: Final = "baton_dsl.step.From"
INPUT: Final = "baton_dsl.step.Input"
EACH: Final = "baton_dsl.step.Each"
MARKERS: Final = (INPUT, EACH)
"""The aliases that mark a parameter; each has a class of the same name with `Marker` behind it."""
FLOW: Final = "baton_dsl.flow.Flow"
WORKFLOW: Final = "baton_dsl.runtime.workflow.Workflow"
SYNC_WORKFLOW: Final = "baton_dsl.runtime.workflow.SyncWorkflow"
CONTEXT: Final = "baton_dsl.context.StepContext"
SKIP: Final = "baton_dsl.context.Skip"
OUTCOME: Final = "baton_dsl.outcome.Outcome"
MODEL: Final = "pydantic.main.BaseModel"

ATTEMPTS: Final = "baton_dsl.testing.replacing.attempts"
RUNS: Final = tuple(
    f"baton_dsl.testing.{name}"
    for name in (
        *(f"baton.Baton.{method}" for method in ("run", "start", "explore")),
        *(f"baton.SyncBaton.{method}" for method in ("run", "explore")),
        *(f"database.BatonDatabase.{method}" for method in ("run", "start")),
        "database.SyncBatonDatabase.run",
    )
)

RESULTS_OF: Final = (
    *(f"{workflow}.results_of" for workflow in (WORKFLOW, SYNC_WORKFLOW)),
    "baton_dsl.testing.run.Run.results_of",
    "baton_dsl.testing.database.DatabaseRun.results_of",
)
"""The methods that return the results of a map as lists."""

FUNCTIONS: Final = frozenset({STEP_FUNCTION, FLOW})
FUNCTION_SIGNATURES: Final = frozenset({FROM})
METHODS: Final = frozenset(
    {
        f"{STEP_DECORATOR}.__call__",
        *(f"{STEP}.{method}" for method in ("named", "bind")),
        *(f"{FLOW}.{method}" for method in ("add", "bind", "options", "insert", "insert_many")),
        *(f"{workflow}.{method}" for workflow in (WORKFLOW, SYNC_WORKFLOW) for method in ("result", "results")),
        *RESULTS_OF,
    }
)
SIGNATURES: Final = frozenset(
    {
        f"{STEP}.bind",
        f"{FLOW}.bind",
        f"{FLOW}.insert",
        f"{FLOW}.insert_many",
        f"{WORKFLOW}.result",
        f"{SYNC_WORKFLOW}.result",
        *RESULTS_OF,
        *RUNS,
    }
)
ATTRIBUTES: Final = frozenset({f"{WORKFLOW}.sync"})

"""The exceptions of baton-dsl. Each has a class, a code, a message and a remedy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from baton_dsl.core.diagnostics import SITE, Diagnostic, did_you_mean, quoted
from baton_dsl.core.wording import printable, suggestion, unstorable


class BatonError(Exception):
    """Base class of all errors of baton-dsl.

    Attributes:
        code: The stable code, such as `BTN404`.
        message: What is wrong.
        remedy: What to do about it.
    """

    code: str = "BTN400"
    default_remedy: ClassVar[str] = ""

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        self.message = message
        self.remedy = self.default_remedy if remedy is None else remedy
        super().__init__(message)

    def __str__(self) -> str:
        return f"{self.code}: {self.message}" + (f"; {self.remedy}" if self.remedy else "")

    @property
    def url(self) -> str:
        """The address that explains the code."""
        return f"{SITE}reference/errors/#{self.code.lower()}"


class FlowError(BatonError):
    """A flow or a step is wrong. Nothing was written.

    Attributes:
        diagnostics: All findings, not only the first.
        code: The code of the first finding.
    """

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        self.code = self.diagnostics[0].code
        super().__init__("\n".join(finding.explain() for finding in self.diagnostics))

    def __reduce__(self) -> tuple[type[FlowError], tuple[Sequence[Diagnostic]]]:
        return type(self), (self.diagnostics,)

    @property
    def url(self) -> str:
        """The page of the first rule that was broken."""
        return self.diagnostics[0].url

    def __str__(self) -> str:
        count = len(self.diagnostics)
        return f"{count} {'finding' if count == 1 else 'findings'}\n{self.message}"


class InputError(FlowError):
    """An input given to `insert` or `bind` is unknown, missing or of the wrong type (BTN303)."""


class EmptyFlowError(BatonError):
    """A flow without steps can't be inserted."""

    code = "BTN401"
    default_remedy = "give it steps: Flow(name, step, ...) or .add(name, step)"


class ConnectionTypeError(BatonError, TypeError):
    """The object passed to `insert` is not a connection of psycopg, nor one of SQLAlchemy or Django on psycopg."""

    code = "BTN402"
    default_remedy = (
        "give a psycopg Connection or AsyncConnection, a SQLAlchemy Connection, Session, AsyncConnection or "
        "AsyncSession on the postgresql+psycopg driver, or django.db.connection"
    )


class WorkflowExistsError(BatonError):
    """A workflow with this id already exists."""

    code = "BTN403"
    default_remedy = "choose another workflow_id, or use Workflow.load() for the existing one"


class InsertTooLargeError(BatonError):
    """Workflows that are inserted together are too large for one statement."""

    code = "BTN540"
    default_remedy = "insert them in several calls; in one transaction, either all of them or none are inserted"


class SchemaMissingError(BatonError):
    """The schema does not contain the tables of baton-dsl."""

    code = "BTN404"
    default_remedy = "run: baton install --dsn ... --prefix ...; or name the schema that contains them"

    @classmethod
    def in_schema(cls, prefix: str, *, elsewhere: Sequence[str] = ()) -> SchemaMissingError:
        """The error for one schema.

        Args:
            prefix: The schema.
            elsewhere: Other schemas of that database that contain the tables.
        """
        if elsewhere:
            remedy = f"it is installed in {quoted(elsewhere)}: run with --prefix {elsewhere[0]}"
        else:
            remedy = f"{install_remedy(prefix)}; or, if they are in another schema, name it: --prefix, OBAN_PREFIX"
        return cls(f'baton-dsl is not installed in the schema "{prefix}"', remedy=remedy)


class SchemaVersionError(BatonError):
    """The tables of baton-dsl are older than this library needs."""

    code = "BTN405"
    default_remedy = "run: baton install --dsn ... --prefix ..."

    @classmethod
    def older(cls, prefix: str, version: int, needed: int) -> SchemaVersionError:
        """The error for one schema, its version, and the one that is needed."""
        message = f'the tables in the schema "{prefix}" are of version {version}, baton-dsl needs {needed}'
        return cls(message, remedy=install_remedy(prefix))


def install_remedy(prefix: str) -> str:
    """The command that creates or updates the tables in a schema."""
    return "run: baton install --dsn ..." + ("" if prefix == "public" else f" --prefix {prefix}")


class ObanNotFoundError(BatonError):
    """No Oban instance with this name runs in this process."""

    code = "BTN406"
    default_remedy = "start one with Oban(pool=...), or give insert() a connection"


class WorkflowNotFoundError(BatonError):
    """No workflow, or more than one, matches this id."""

    code = "BTN407"
    default_remedy = "check the id, the database and the prefix"


class StepNotInWorkflowError(BatonError):
    """The workflow has no step with this name."""

    code = "BTN408"

    @classmethod
    def refuse_unstorable(cls, step: str) -> None:
        """Raise the error for a name that no step of any workflow can have, before the database is asked for it."""
        if reason := unstorable(step):
            raise cls(f'no step has the name "{printable(step)}": {reason}')

    @classmethod
    def among(cls, workflow_id: str, step: str, names: Iterable[str]) -> StepNotInWorkflowError:
        """The error for a step that is not in the workflow."""
        known = list(names)
        nearest = did_you_mean(step, known)
        return cls(
            f'workflow "{workflow_id}" has no step "{step}"',
            remedy=suggestion(nearest) or f"it has {quoted(known)}",
        )


class ResultNotReadyError(BatonError):
    """The step has no result: it has not completed yet, or it was cancelled or discarded."""

    code = "BTN409"
    default_remedy = "await workflow.wait() first"


class ItemNotFoundError(BatonError, IndexError):
    """The map has no such item, or the step is not a map."""

    code = "BTN413"
    default_remedy = "see workflow.items(step) for the existing ones"


class PrefixError(BatonError, ValueError):
    """The name of the schema is not allowed."""

    code = "BTN410"
    default_remedy = "use at most 63 lower-case letters, digits and underscores, and no reserved word"


class DatabaseNotConfiguredError(BatonError):
    """No connection string was given, and the embedded PostgreSQL is not installed."""

    code = "BTN411"
    default_remedy = "give --dsn, set BATON_DSN, or pip install 'baton-dsl[embedded]'"


class WorkflowTimeoutError(BatonError, TimeoutError):
    """The workflow did not end within the timeout of `wait`."""

    code = "BTN412"
    default_remedy = "allow more time, or see what it waits for: workflow.why(), or baton why"


class RetryError(BatonError):
    """The workflow can't be retried from this step: it, or a step downstream of it, is running or has lost its job."""

    code = "BTN415"

    @classmethod
    def unexplained(cls, workflow_id: str, step: str) -> RetryError:
        """The error if the database did not retry, and no reason is found."""
        return cls(
            f'workflow "{workflow_id}" could not be retried from step "{step}": its steps keep changing',
            remedy="try again, or cancel the workflow first",
        )


class FlowMismatchError(BatonError):
    """The flow given to `rerun` is not the one that the workflow was inserted from."""

    code = "BTN416"
    default_remedy = "use the flow that it was inserted from, or insert the other flow with its own inputs"


class ServerTooOldError(BatonError):
    """The PostgreSQL server is older than baton-dsl and Oban support."""

    code = "BTN418"
    default_remedy = "update the server"


class SchemaBusyError(BatonError):
    """`baton install` could not lock the tables, because other transactions keep using them."""

    code = "BTN419"
    default_remedy = (
        "try again when no transaction is open on the tables: SELECT pid, xact_start, query FROM pg_stat_activity "
        "WHERE state LIKE 'idle in transaction%'"
    )


class ExtraMissingError(BatonError, ImportError):
    """A package is missing that an extra of baton-dsl installs."""

    code = "BTN420"
    default_remedy = "run: pip install 'baton-dsl[...]', with the extra named above"

    @classmethod
    def of(cls, package: str, extra: str) -> ExtraMissingError:
        """The error for a missing package, with the extra that installs it."""
        return cls(f"{package} is not installed", remedy=f"run: pip install 'baton-dsl[{extra}]'")


class ConnectionStringError(BatonError, ValueError):
    """A connection string can't be read. The message does not quote it, because it may contain a password."""

    code = "BTN421"
    default_remedy = (
        "write postgresql://user:password@host:5432/database; in the password, write %40 for @, %2F for / and %25 for %"
    )


class SessionNeededError(BatonError):
    """The worker's connection string leads to a pooler in transaction mode, where it could neither lock nor listen."""

    code = "BTN422"
    default_remedy = (
        "also give the address of the server itself, with --direct-dsn or BATON_DIRECT_DSN, or set the pooler to "
        "session mode"
    )


class DashboardOpenError(BatonError):
    """The dashboard would be reachable from other machines, but has no authorization."""

    code = "BTN437"
    default_remedy = (
        "say who may do what: baton web --authorize MODULE:FUNCTION, or app(authorize=...), a function of the request "
        'that returns None, "read" or "operate"; or let it listen on 127.0.0.1'
    )

    @classmethod
    def at(cls, host: str) -> DashboardOpenError:
        """The error for the address that it should listen on."""
        return cls(f'the dashboard has no authorization, and "{host}" is not this machine alone')


class StepError(BatonError):
    """Base class of the errors that end a running step."""


class StepNotFoundError(StepError):
    """The job names a step or a hook that can't be imported: its code is not deployed to this worker.

    The worker gives the job back, which uses no attempt. Any worker may fetch it again after a pause of up to a minute.
    So nothing is lost during a deploy. `baton why` and `baton doctor` report such jobs.
    """

    code = "BTN501"
    default_remedy = "deploy the code that inserted the workflow to this node"


class ResultNotSerializableError(StepError):
    """The result of a step can't be stored as JSON without a change, or does not match its annotation. No retry."""

    code = "BTN502"
    default_remedy = "return plain data that matches the annotation"


class ResultTooLargeError(StepError):
    """The result of a step is larger than the limit. No retry."""

    code = "BTN503"
    default_remedy = "store it elsewhere and return a reference, or increase BATON_RESULT_LIMIT"


class FanInTooLargeError(StepError):
    """The results of a map are together larger than a step may take. No retry."""

    code = "BTN515"
    default_remedy = (
        "let the items return less, such as references to stored data; or increase BATON_FAN_IN_LIMIT, which "
        "PostgreSQL limits to less than 1 GiB"
    )


class StoredValueError(StepError):
    """A stored result or input does not match the annotation of the step that takes it. No retry."""

    code = "BTN504"
    default_remedy = (
        "the code has changed since the value was stored: change the annotation to accept it, or insert a new workflow"
    )


class UpstreamAbsentError(StepError, KeyError):
    """`StepContext.upstream` has no step with this name, because it is not an upstream."""

    code = "BTN505"

    __str__ = BatonError.__str__


class NodeMissingError(StepError):
    """A job of a workflow has no row in `workflow_nodes`."""

    code = "BTN506"
    default_remedy = "its workflow was deleted: cancel the job"


class TransactionEndedError(StepError):
    """A step ended the transaction of its connection with SQL (`COMMIT`, `ROLLBACK`). No retry."""

    code = "BTN510"
    default_remedy = "leave BEGIN, COMMIT and ROLLBACK to the worker; use a savepoint for a part that may fail"


class StepAbortedError(StepError):
    """A step or a hook raised something other than an `Exception`: `SystemExit`, or an unexpected `CancelledError`.

    A step is retried.
    """

    code = "BTN514"
    default_remedy = "raise an Exception, or use cancel(), snooze() or skip() of the StepContext"


class UsageError(BatonError, ValueError):
    """A usage of a model is not valid: a number is negative, absurd, or larger than the total that it is a part of."""

    code = "BTN520"
    default_remedy = "use the numbers of the provider's response"


class CheckpointError(StepError):
    """The result that `StepContext.once` stored no longer matches the function's annotation. No retry."""

    code = "BTN521"
    default_remedy = (
        "the code has changed since it was stored: change the annotation to accept it, or delete it with "
        "workflow.retry(from_step)"
    )


class OnceError(StepError, TypeError):
    """The function passed to `StepContext.once` does not fit the step: it is async in a sync step."""

    code = "BTN522"
    default_remedy = "give a sync function, or make the step async and await context.once(...)"


class UnknownPriceError(BatonError):
    """A cost can't be computed: a step declares its tokens, but the price of its model is not known."""

    code = "BTN523"
    default_remedy = "declare max_cost instead, or set the price: baton_dsl.llm.set_price(...)"


class BudgetError(BatonError, ValueError):
    """The budget of a workflow can't be set: the amount is below what is spent, or the workflow has no budget."""

    code = "BTN524"


class MetricsPortError(BatonError):
    """A worker can't listen on the port for its metrics and its health."""

    code = "BTN534"
    default_remedy = "the port is in use, or this user may not use it: choose another one with --metrics-port"


class ReplacementError(BatonError):
    """A test replaces a step that is not in the flow, or gives a value that the step can't return."""

    code = "BTN601"
    default_remedy = "give a value, an exception, a function, or a list of these, one for each attempt"


class RunError(BatonError):
    """A test run can't continue: it would never end, waits for something that never happens, or needs a database."""

    code = "BTN602"


class ExplorationError(BatonError, AssertionError):
    """An exploration found a schedule that breaks the flow."""

    code = "BTN603"

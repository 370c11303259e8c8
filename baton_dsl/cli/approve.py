"""`baton approve`: set the budget of a workflow."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

import click

from baton_dsl.cli import database, selection, terminal
from baton_dsl.core.wording import money
from baton_dsl.runtime.workflow import Workflow


class Money(click.ParamType[Decimal]):
    """An amount of money on the command line."""

    name = "amount"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        """Read it."""
        try:
            amount = Decimal(str(value))
        except InvalidOperation:
            amount = Decimal("NaN")
        if not amount.is_finite() or amount < 0:
            self.fail(f"{value!r} is no amount; write a number such as 8 or 2.50", param, ctx)
        return amount


MONEY = Money()


@click.command("approve")
@click.argument("workflow_id", metavar="ID")
@click.option(
    "--budget", type=MONEY, metavar="AMOUNT", required=True, help="What the workflow may cost in all, in US dollars."
)
@database.options
def command(workflow_id: str, budget: Decimal, dsn: str | None, prefix: str) -> None:
    """Set the budget of a workflow. Steps that wait for it continue.

    \b
    Example:
      baton approve 01932c07 --budget 8
    """
    with database.opened(dsn, prefix) as target:
        where = selection.database_of(target)
        workflow = Workflow(selection.full_id(where, workflow_id), database=where)
        workflow.sync.approve(budget)
        usage = workflow.sync.usage()
    spent = money(usage.spent or Decimal(0))
    terminal.echo(f"workflow {workflow.id} may cost {money(budget)}; {spent} is spent")

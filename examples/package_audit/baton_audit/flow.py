"""The flow: fifteen steps, connected by the names of their parameters; three of them are maps."""

from baton_audit.inventory import distributions, environment, inventory
from baton_audit.licences import licences
from baton_audit.report import audit, findings, page, report, text
from baton_audit.requirements import cycles, dependencies, unmet
from baton_audit.weight import import_candidates, import_costs, sizes
from baton_dsl import Flow

package_audit = Flow(
    "package-audit",
    environment,
    inventory,
    distributions,
    licences,
    sizes,
    dependencies,
    unmet,
    cycles,
    import_candidates,
    import_costs,
    findings,
    audit,
    text,
    page,
    report,
)

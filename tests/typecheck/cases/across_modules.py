"""What is wrong with a step of another module is told where the flow takes it."""

import baton_dsl as baton
import shop
from baton_dsl import step as task
from shop.steps import PAIR, total


@task
def report(count: str, plain: int) -> str:
    return f"{count} {plain}"


by_tuple = baton.Flow("by tuple", *PAIR, total, report)
by_module = baton.Flow("by module", shop.orders, shop.count.named("count"), shop.steps.total, report)

# mypy:
# 10:12: error: parameter "count" of step "report" is str, but upstream "count" gives int  [baton-upstream-type]
# 10:12: note: "count" is defined here (module "shop.steps")
# 10:12: note: help: annotate the parameter as int, or change what the upstream returns
# 14:36: error: parameter "lines" of step "count" is int, but upstream "orders" gives list[str]  [baton-upstream-type]
# 14:36: note: "count" is defined in module "shop.steps"
# 14:36: note: "orders" is defined here (module "shop.steps")
# 14:36: note: help: annotate the parameter as list[str], or change what the upstream returns
# 15:50: error: parameter "lines" of step "count" is int, but upstream "orders" gives list[str]  [baton-upstream-type]
# 15:50: note: "count" is defined in module "shop.steps"
# 15:50: note: "orders" is defined here (module "shop.steps")
# 15:50: note: help: annotate the parameter as list[str], or change what the upstream returns

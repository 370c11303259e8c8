"""The dashboard: workflows in a browser, why they stand where they stand, and what an operator does about it.

`baton web` serves it; an application mounts it under any path of its own.

Example:
    ```python
    from baton_dsl import web

    def may(request):
        user = request.scope.get("user")
        return None if user is None else "operate" if user.is_admin else "read"

    api.mount("/workflows", web.app(authorize=may))
    ```
"""

from baton_dsl.extras import needed

with needed():
    from baton_dsl.web.access import Level as Level
    from baton_dsl.web.application import app as app

__all__ = ["Level", "app"]

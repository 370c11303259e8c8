"""The dashboard: see workflows in a browser, why they wait or failed, and operate them.

`baton web` serves it. An application can also mount it under any of its paths.

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

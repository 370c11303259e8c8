import no_such_driver  # noqa: F401

"""`python -m baton_dsl.cli`, which needs no script on the path."""

from baton_dsl.cli.main import main

main()

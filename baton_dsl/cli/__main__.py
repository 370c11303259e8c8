"""`python -m baton_dsl.cli`, which needs no script on the path."""

from baton_dsl.cli.start import main

if __name__ == "__main__":
    main()

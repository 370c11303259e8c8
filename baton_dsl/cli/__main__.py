"""Run the command as `python -m baton_dsl.cli`, without a script on the path."""

from baton_dsl.cli.start import main

if __name__ == "__main__":
    main()

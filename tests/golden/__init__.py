"""Documents that scripts rely on, letter by letter: one JSON file a command line, written by ``python -m tests.golden``."""

"""``python -m lsbatch.cli``."""

from lsbatch.cli import main

main()

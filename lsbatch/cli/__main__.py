"""``python -m lsbatch.cli``."""

from lsbatch.cli import main

if __name__ == "__main__":
    main()

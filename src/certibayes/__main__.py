"""`python -m certibayes`."""

import sys

from certibayes.cli import main

if __name__ == "__main__":
    sys.exit(main())

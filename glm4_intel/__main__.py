"""`python -m glm4_intel`: the command line."""

import sys

from .cli import main

sys.exit(main())

"""`python -m greenhouse_record`: the command, where its script is not on the path."""

import sys

from greenhouse_record.command import main

sys.exit(main())

import sys

from ._host import main

sys.exit(main())

"""What holds for all tests: no test asserts a time, so no example of Hypothesis has a deadline.

Continuous integration draws the same examples at every run; on a desk each run draws others.
"""

import os

from hypothesis import settings

settings.register_profile("imgdup", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("imgdup")

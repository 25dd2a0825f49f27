"""Fixtures shared by every test, and the Hypothesis profiles.

An ordinary run tries the same examples each time; HYPOTHESIS_PROFILE=thorough tries many others.
"""

import os

from hypothesis import settings

settings.register_profile("default", deadline=None, print_blob=True, derandomize=True)
settings.register_profile("thorough", deadline=None, print_blob=True, max_examples=2_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

"""Debian's chromium, for the tests that look at a page as a reader does. `.ci/servers` installs it."""

from __future__ import annotations

import os
import shutil

import pytest


def chromium() -> str:
    """The path of chromium. Without it, the test is skipped; in CI it fails."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    missing = "no chromium is on this machine: apt-get install chromium"
    if os.environ.get("CI"):
        pytest.fail(missing)
    pytest.skip(missing)

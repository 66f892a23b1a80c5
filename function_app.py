"""Entry point of the function app. The host wants exactly one app object in this module."""

import os

from orchestrator.bootstrap import build_app
from orchestrator.settings import Settings

app = build_app(Settings.from_environ(os.environ))

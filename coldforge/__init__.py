"""What a backend installs: the client library and the ``coldforge`` command."""

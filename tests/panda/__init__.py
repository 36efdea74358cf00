"""Tests on the PanDA server in tests/servers/panda, through the real panda-client."""

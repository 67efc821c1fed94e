"""Peers for the tests: things that behave, never patched methods."""

"""Measurements beside other ways of doing the same, in one run: compare the columns, not the absolute figures."""

"""Local decisions: what is asked of the readings, and the alerts that come of it. No I/O, time is passed in."""

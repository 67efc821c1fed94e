"""*When* may something happen? Time policies without I/O: time is passed in."""

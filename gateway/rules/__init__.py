"""Local decisions: what is told of the instruments in, alerts out; time is passed in."""

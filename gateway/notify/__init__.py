"""Alerts told to people: grouped, kept until the receiver has them, sent by webhook or Apprise."""

"""From the journal to the brokers."""

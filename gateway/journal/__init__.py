"""Between the bus and the brokers: readings wait here until they are acknowledged."""

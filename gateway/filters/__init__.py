"""Filters: what happens to a device's values between its driver and the bus. Pure: time is passed in."""

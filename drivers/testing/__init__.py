"""For those who write a driver: the contract that it must pass (`contract`); needs pytest and hypothesis."""

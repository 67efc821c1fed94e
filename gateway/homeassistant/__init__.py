"""Home Assistant finds the gateway's devices by itself: what they are is said to it over MQTT, retained."""

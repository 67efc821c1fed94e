"""The gateway in a browser: status page, server-sent events, API, metrics, health. Needs the extra `web`."""

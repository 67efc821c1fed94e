"""The script that people write: a task for each port, and each reading published when it has come.

python usual_script.py BROKER_PORT DEVICE…
"""

import asyncio
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import aiomqtt
import serialx


async def read_port(client: aiomqtt.Client, device: str) -> None:
    reader, _ = await serialx.open_serial_connection(device, baudrate=9600)
    name = Path(device).name
    while True:
        line = await reader.readline()
        values = json.loads(line)
        message = {"time": datetime.now(UTC).isoformat(), "values": values}
        await client.publish(f"sallyport/bench/{name}", json.dumps(message), qos=1)


async def main() -> None:
    async with aiomqtt.Client("127.0.0.1", int(sys.argv[1])) as client, asyncio.TaskGroup() as group:
        for device in sys.argv[2:]:
            group.create_task(read_port(client, device))


asyncio.run(main())

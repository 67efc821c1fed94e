"""pymodbus as the instrument: another project's Modbus, in a process of its own, on the far side of a line."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusSerialServer
from pymodbus.simulator import DataType, SimData, SimDevice

from drivers.instrument import PtyInstrument

UNIT = 17

HOLDING: dict[int, tuple[str, int | float | str, DataType]] = {
    0: ("int16", -2, DataType.INT16),
    1: ("uint16", 65534, DataType.UINT16),
    2: ("int32", -123456789, DataType.INT32),
    4: ("uint32", 4123456789, DataType.UINT32),
    6: ("int64", -1234567890123456789, DataType.INT64),
    10: ("uint64", 12345678901234567890, DataType.UINT64),
    14: ("float32", 230.25, DataType.FLOAT32),
    16: ("float64", 3.141592653589793, DataType.FLOAT64),
    20: ("string", "pump-house", DataType.STRING),
}
"""By address: type as the driver calls it, value, type as pymodbus does."""

SPARE = 50
"""From here on there are registers to be written, all zero."""

LONELY = (100, 102)
"""Registers between which there is none."""

BUSY_AT_FIRST, ALWAYS_BUSY, TOO_LARGE_AT_9 = 200, 201, 202

COILS = [True, False, True, True, False, False, False, True, False, True]
INPUTS = list(range(1000, 1300))


def device() -> SimDevice:
    refusals = 2

    async def act(  # noqa: PLR0917 - pymodbus's signature
        function: int,  # noqa: ARG001
        start: int,  # noqa: ARG001
        address: int,
        count: int,  # noqa: ARG001
        current: list[int],  # noqa: ARG001
        wanted: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        nonlocal refusals
        if address == BUSY_AT_FIRST and refusals:
            refusals -= 1
            return ExcCodes.DEVICE_BUSY
        if address == ALWAYS_BUSY:
            return ExcCodes.DEVICE_BUSY
        if address == TOO_LARGE_AT_9 and wanted and wanted[0] >= 9:
            return ExcCodes.ILLEGAL_VALUE
        return None

    holding = [SimData(at, values=value, datatype=kind) for at, (_, value, kind) in HOLDING.items()]
    spare = SimData(SPARE, count=20, values=0, datatype=DataType.REGISTERS)
    lonely = [SimData(at, values=at, datatype=DataType.REGISTERS) for at in LONELY]
    acting = [SimData(at, values=7, datatype=DataType.REGISTERS) for at in (200, 201, 202)]
    coils = SimData(0, values=COILS, datatype=DataType.BITS)
    inputs = SimData(0, values=INPUTS, datatype=DataType.REGISTERS)
    return SimDevice(
        UNIT, simdata=([coils], [coils], [*holding, spare, *lonely, *acting], [inputs]), action=act
    )


async def serve(port: str) -> None:
    server = ModbusSerialServer(device(), port=port, baudrate=19200)
    await server.serve_forever(background=True)
    print("serving", flush=True)  # noqa: T201 - to whoever started us
    await asyncio.Event().wait()


Carry = Callable[[bytes], bytes]


def _faithfully(data: bytes) -> bytes:
    return data


def _meant_for_it(data: bytes) -> bytes:
    # pymodbus 3.16 answers for units that it does not have, whatever ignore_missing_devices says.
    return data if data[0] == UNIT else b""


@asynccontextmanager
async def served(folder: Path, *, spoilt: Carry = _faithfully) -> AsyncIterator[PtyInstrument]:
    """The gateway's end of a line to it. `spoilt`: what becomes of its answers on the way."""
    with (
        PtyInstrument.plugged_in(folder / "line") as ours,
        PtyInstrument.plugged_in(folder / "server") as theirs,
    ):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.support.modbus_server", theirs.path, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        carriers: list[asyncio.Task[None]] = []
        try:
            assert await process.stdout.readline() == b"serving\n"
            carriers = [
                asyncio.create_task(_carry(ours, theirs, _meant_for_it)),
                asyncio.create_task(_carry(theirs, ours, spoilt)),
            ]
            yield ours
        finally:
            process.kill()
            await process.communicate()
            for carrier in carriers:
                carrier.cancel()
            if carriers:
                await asyncio.wait(carriers)


async def _carry(source: PtyInstrument, sink: PtyInstrument, spoilt: Carry) -> None:
    while data := await source.hear():
        await sink.say(spoilt(data))


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))

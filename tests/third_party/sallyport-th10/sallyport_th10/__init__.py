"""`th10`: the TH-10 climate sensor."""

from drivers.driver import Clues, Driver, DriverOptions, Metric, Simulation, listening
from sallyport_th10.codec import Frames
from sallyport_th10.simulator import telegrams

METRICS = {
    "temperature": Metric("Cel", "Temperature", device_class="temperature", state_class="measurement"),
    "humidity": Metric("%", "Relative humidity", device_class="humidity", state_class="measurement"),
}


def _decoder(_options: DriverOptions) -> Frames:
    return Frames()


DRIVER = Driver(
    summary="TH-10: temperature and humidity",
    options=DriverOptions,
    decoder=_decoder,
    open=listening(_decoder),
    metrics=METRICS,
    simulation=Simulation(telegrams=telegrams),
    clues=Clues(),
)

"""What the values mean. UCUM: [kn_i] is a knot, [nmi_i] a nautical mile, [fth_i] a fathom."""

from dataclasses import replace

from drivers.driver import Metric

_CLASSES = {
    "Cel": "temperature",
    "[degF]": "temperature",
    "bar": "atmospheric_pressure",
    "[in_i'Hg]": "atmospheric_pressure",
    "%": "humidity",
    "[kn_i]": "speed",
    "km/h": "speed",
    "m/s": "speed",
    "[mi_i]/h": "speed",
    "m": "distance",
    "[ft_i]": "distance",
    "[nmi_i]": "distance",
    "s": "duration",
}

_METRICS = {
    # Position, course, time
    "lat": Metric("deg", "Latitude"),
    "lon": Metric("deg", "Longitude"),
    "alt": Metric("m", "Altitude above mean sea level"),
    "geoid_sep": Metric("m", "Geoid above ellipsoid"),
    "speed": Metric("[kn_i]", "Speed over ground"),
    "speed_kmh": Metric("km/h", "Speed over ground"),
    "course": Metric("deg", "Course over ground"),
    "course_true": Metric("deg", "Course over ground, true"),
    "course_mag": Metric("deg", "Course over ground, magnetic"),
    "magvar": Metric("deg", "Magnetic variation, west negative"),
    "time": Metric("", "Time, UTC"),
    "date": Metric("", "Date, UTC"),
    "day": Metric("", "Day, UTC"),
    "month": Metric("", "Month, UTC"),
    "year": Metric("", "Year, UTC"),
    "status": Metric("", "Status: A valid, V void"),
    "mode": Metric("", "Mode of the fix or of its selection"),
    # Satellites, and how good the fix is
    "fix_quality": Metric("", "Quality of the fix: 0 none, 1 GPS, 2 differential, 4 and 5 RTK"),
    "fix_type": Metric("", "Type of the fix: 1 none, 2 two, 3 three dimensions"),
    "num_sats": Metric("", "Satellites used"),
    "sats_used": Metric("", "Numbers of the satellites used"),
    "sats_in_view": Metric("", "Satellites in view"),
    "num_messages": Metric("", "Sentences of this list of satellites"),
    "msg_num": Metric("", "This sentence's place in the list"),
    "sv.*.elevation": Metric("deg", "Elevation of a satellite"),
    "sv.*.azimuth": Metric("deg", "Azimuth of a satellite"),
    "sv.*.snr": Metric("dB", "Signal of a satellite, C/N0"),
    "hdop": Metric("", "Horizontal dilution of precision"),
    "vdop": Metric("", "Vertical dilution of precision"),
    "pdop": Metric("", "Dilution of precision"),
    "rms": Metric("m", "Root mean square of the pseudorange residuals"),
    "std_lat": Metric("m", "Standard deviation of the latitude"),
    "std_lon": Metric("m", "Standard deviation of the longitude"),
    "std_alt": Metric("m", "Standard deviation of the altitude"),
    "dgps_age": Metric("s", "Age of the differential corrections"),
    "dgps_station": Metric("", "Station of the differential corrections"),
    # Heading and rudder
    "heading_true": Metric("deg", "Heading, true"),
    "heading_mag": Metric("deg", "Heading, magnetic"),
    "deviation": Metric("deg", "Deviation of the compass, west negative"),
    "variation": Metric("deg", "Magnetic variation, west negative"),
    "rate_of_turn": Metric("deg/min", "Rate of turn, to port negative"),
    "rudder_starboard": Metric("deg", "Rudder, starboard or only one; to port negative"),
    "rudder_starboard_status": Metric("", "Starboard rudder sensor: A valid, V void"),
    "rudder_port": Metric("deg", "Rudder, port; to port negative"),
    "rudder_port_status": Metric("", "Port rudder sensor: A valid, V void"),
    # Depth, and the way through the water
    "depth": Metric("m", "Depth: below the transducer, for DBK the keel, for DBS the surface"),
    "depth_ft": Metric("[ft_i]", "Depth"),
    "depth_fathom": Metric("[fth_i]", "Depth"),
    "offset": Metric("m", "Transducer to waterline, or to keel if negative"),
    "water_speed": Metric("[kn_i]", "Speed through water"),
    "water_speed_kmh": Metric("km/h", "Speed through water"),
    "water_speed_long": Metric("[kn_i]", "Speed through water, ahead; astern negative"),
    "water_speed_trans": Metric("[kn_i]", "Speed through water, to starboard; to port negative"),
    "water_speed_status": Metric("", "Speed through water: A valid, V void"),
    "ground_speed_long": Metric("[kn_i]", "Speed over ground, ahead; astern negative"),
    "ground_speed_trans": Metric("[kn_i]", "Speed over ground, to starboard; to port negative"),
    "ground_speed_status": Metric("", "Speed over ground: A valid, V void"),
    "stern_water_speed_trans": Metric("[kn_i]", "Speed of the stern through water, to port negative"),
    "stern_water_speed_status": Metric("", "Speed of the stern through water: A valid, V void"),
    "stern_ground_speed_trans": Metric("[kn_i]", "Speed of the stern over ground, to port negative"),
    "stern_ground_speed_status": Metric("", "Speed of the stern over ground: A valid, V void"),
    "water_distance_total": Metric("[nmi_i]", "Distance through water"),
    "water_distance_trip": Metric("[nmi_i]", "Distance through water since reset"),
    "ground_distance_total": Metric("[nmi_i]", "Distance over ground"),
    "ground_distance_trip": Metric("[nmi_i]", "Distance over ground since reset"),
    "current_direction_true": Metric("deg", "Direction the current sets to, true"),
    "current_direction_mag": Metric("deg", "Direction the current sets to, magnetic"),
    "current_speed": Metric("[kn_i]", "Speed of the current"),
    # Wind, weather, transducers
    "wind_angle": Metric("deg", "Apparent wind, clockwise from the bow"),
    "wind_angle_true": Metric("deg", "True wind, clockwise from the bow"),
    "wind_speed": Metric("[kn_i]", "Apparent wind"),
    "wind_speed_kmh": Metric("km/h", "Apparent wind"),
    "wind_speed_ms": Metric("m/s", "Apparent wind"),
    "wind_speed_mph": Metric("[mi_i]/h", "Apparent wind"),
    "wind_speed_true": Metric("[kn_i]", "True wind"),
    "wind_speed_true_kmh": Metric("km/h", "True wind"),
    "wind_speed_true_ms": Metric("m/s", "True wind"),
    "wind_speed_true_mph": Metric("[mi_i]/h", "True wind"),
    "wind_direction_true": Metric("deg", "Direction the wind comes from, true"),
    "wind_direction_mag": Metric("deg", "Direction the wind comes from, magnetic"),
    "reference": Metric("", "Reference of the wind: R relative (apparent), T true"),
    "pressure": Metric("bar", "Barometric pressure"),
    "pressure_inhg": Metric("[in_i'Hg]", "Barometric pressure"),
    "air_temp": Metric("Cel", "Air temperature"),
    "air_temp_f": Metric("[degF]", "Air temperature"),
    "water_temp": Metric("Cel", "Water temperature"),
    "water_temp_f": Metric("[degF]", "Water temperature"),
    "dew_point": Metric("Cel", "Dew point"),
    "humidity": Metric("%", "Relative humidity"),
    "xdr.*": Metric("", "Transducer, in the unit it was set up for"),
    # Routes and waypoints
    "cross_track_error": Metric("[nmi_i]", "Off the leg; negative: steer left"),
    "bearing_true": Metric("deg", "Bearing of the waypoint, true"),
    "bearing_mag": Metric("deg", "Bearing of the waypoint, magnetic"),
    "leg_bearing_true": Metric("deg", "Bearing of the waypoint from the leg's origin, true"),
    "leg_bearing_mag": Metric("deg", "Bearing of the waypoint from the leg's origin, magnetic"),
    "steer_true": Metric("deg", "Heading to steer, true"),
    "steer_mag": Metric("deg", "Heading to steer, magnetic"),
    "waypoint": Metric("", "Waypoint steered to"),
    "waypoint_origin": Metric("", "Waypoint where the leg begins"),
    "waypoint_lat": Metric("deg", "Latitude of the waypoint"),
    "waypoint_lon": Metric("deg", "Longitude of the waypoint"),
    "waypoint_distance": Metric("[nmi_i]", "Distance to the waypoint"),
    "waypoint_speed": Metric("[kn_i]", "Closing speed to the waypoint"),
    # Messages
    "text": Metric("", "Message"),
    "fragments": Metric("", "AIS: fragments of the message"),
    "fragment": Metric("", "AIS: which of the fragments"),
    "message_id": Metric("", "AIS: what the fragments of one message share"),
    "channel": Metric("", "AIS: radio channel"),
    "payload": Metric("", "AIS: six-bit payload"),
    "fill_bits": Metric("", "AIS: bits to ignore at the payload's end"),
}


def _classified(name: str, metric: Metric) -> Metric:
    device_class = _CLASSES.get(metric.unit, "")
    if device_class == "speed" and name.startswith("wind_"):
        device_class = "wind_speed"
    if name.endswith("_distance_total"):
        return replace(metric, device_class=device_class, state_class="total_increasing")
    return replace(metric, device_class=device_class, state_class="measurement" if metric.unit else "")


METRICS = {name: _classified(name, metric) for name, metric in _METRICS.items()}
"""By name; `*` is what the instrument chose."""

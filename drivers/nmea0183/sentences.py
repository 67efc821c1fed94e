"""What each sentence carries: a table from the sentence formatter to the fields that become values.

Layout: `$ttfff,1,2,3,...*hh`: tt is the talker, fff the formatter; fields count from 1, as in the standard.
Fields without a row are left out on purpose: letters of units that never vary, and the flags of alarms.
Source: IEC 61162-1, approved sentences; DBK, MDA, MMB, MTA, VWR and VWT from older editions of NMEA 0183.
"""

from collections.abc import Mapping

from drivers.nmea0183.fields import (
    EAST_WEST,
    RIGHT_LEFT,
    Reader,
    by_letter,
    calendar_day,
    latitude,
    longitude,
    number,
    off_bow,
    satellites,
    signed,
    text,
    texts,
    time,
    transducers,
    whole,
)

WIDEST = 19
"""The highest field that a row counts on; groups that repeat go further."""

_WIND_SPEED = {
    reference + unit: f"wind_speed{of}{suffix}"
    for reference, of in {"R": "", "T": "_true"}.items()
    for unit, suffix in {"N": "", "K": "_kmh", "M": "_ms", "S": "_mph"}.items()
}

_DEPTHS = (number(1, "depth_ft"), number(3, "depth"), number(5, "depth_fathom"))

_TO_WAYPOINT = (
    latitude(2, "waypoint_lat"),
    longitude(4, "waypoint_lon"),
    number(6, "bearing_true"),
    number(8, "bearing_mag"),
    number(10, "waypoint_distance"),
    text(12, "waypoint"),
)

_AIS = (
    whole(1, "fragments"),
    whole(2, "fragment"),
    whole(3, "message_id"),
    text(4, "channel"),
    text(5, "payload"),
    whole(6, "fill_bits"),
)

SENTENCES: Mapping[str, tuple[Reader, ...]] = {
    # Position, course, time
    "GGA": (
        time(1),
        latitude(2),
        longitude(4),
        whole(6, "fix_quality"),
        whole(7, "num_sats"),
        number(8, "hdop"),
        number(9, "alt"),
        number(11, "geoid_sep"),
        number(13, "dgps_age"),
        text(14, "dgps_station"),
    ),
    "GLL": (latitude(1), longitude(3), time(5), text(6, "status"), text(7, "mode")),
    "GNS": (
        time(1),
        latitude(2),
        longitude(4),
        text(6, "mode"),
        whole(7, "num_sats"),
        number(8, "hdop"),
        number(9, "alt"),
        number(10, "geoid_sep"),
    ),
    "RMC": (
        time(1),
        text(2, "status"),
        latitude(3),
        longitude(5),
        number(7, "speed"),
        number(8, "course"),
        calendar_day(9),
        signed(10, "magvar", EAST_WEST),
        text(12, "mode"),
    ),
    "VTG": (
        number(1, "course_true"),
        number(3, "course_mag"),
        number(5, "speed"),
        number(7, "speed_kmh"),
        text(9, "mode"),
    ),
    "ZDA": (time(1), whole(2, "day"), whole(3, "month"), whole(4, "year")),
    # Satellites, and how good the fix is
    "GSA": (
        text(1, "mode"),
        whole(2, "fix_type"),
        number(15, "pdop"),
        number(16, "hdop"),
        number(17, "vdop"),
        texts(3, 14, "sats_used"),
    ),
    "GST": (time(1), number(2, "rms"), number(6, "std_lat"), number(7, "std_lon"), number(8, "std_alt")),
    "GSV": (whole(1, "num_messages"), whole(2, "msg_num"), whole(3, "sats_in_view"), satellites(4)),
    # Heading and rudder
    "HDG": (number(1, "heading_mag"), signed(2, "deviation", EAST_WEST), signed(4, "variation", EAST_WEST)),
    "HDM": (number(1, "heading_mag"),),
    "HDT": (number(1, "heading_true"),),
    "ROT": (number(1, "rate_of_turn"), text(2, "status")),
    "RSA": (
        number(1, "rudder_starboard"),
        text(2, "rudder_starboard_status"),
        number(3, "rudder_port"),
        text(4, "rudder_port_status"),
    ),
    "THS": (number(1, "heading_true"), text(2, "mode")),
    # Depth, and the way through the water
    "DBK": _DEPTHS,
    "DBS": _DEPTHS,
    "DBT": _DEPTHS,
    "DPT": (number(1, "depth"), number(2, "offset")),
    "VBW": (
        number(1, "water_speed_long"),
        number(2, "water_speed_trans"),
        text(3, "water_speed_status"),
        number(4, "ground_speed_long"),
        number(5, "ground_speed_trans"),
        text(6, "ground_speed_status"),
        number(7, "stern_water_speed_trans"),
        text(8, "stern_water_speed_status"),
        number(9, "stern_ground_speed_trans"),
        text(10, "stern_ground_speed_status"),
    ),
    "VDR": (
        number(1, "current_direction_true"),
        number(3, "current_direction_mag"),
        number(5, "current_speed"),
    ),
    "VHW": (
        number(1, "heading_true"),
        number(3, "heading_mag"),
        number(5, "water_speed"),
        number(7, "water_speed_kmh"),
    ),
    "VLW": (
        number(1, "water_distance_total"),
        number(3, "water_distance_trip"),
        number(5, "ground_distance_total"),
        number(7, "ground_distance_trip"),
    ),
    # Wind, weather, transducers
    "MDA": (
        number(1, "pressure_inhg"),
        number(3, "pressure"),
        number(5, "air_temp"),
        number(7, "water_temp"),
        number(9, "humidity"),
        number(11, "dew_point"),
        number(13, "wind_direction_true"),
        number(15, "wind_direction_mag"),
        number(17, "wind_speed_true"),
        number(19, "wind_speed_true_ms"),
    ),
    "MMB": (number(1, "pressure_inhg"), number(3, "pressure")),
    "MTA": (by_letter(1, {"C": "air_temp", "F": "air_temp_f"}),),
    "MTW": (by_letter(1, {"C": "water_temp", "F": "water_temp_f"}),),
    "MWD": (
        number(1, "wind_direction_true"),
        number(3, "wind_direction_mag"),
        number(5, "wind_speed_true"),
        number(7, "wind_speed_true_ms"),
    ),
    "MWV": (
        by_letter(1, {"R": "wind_angle", "T": "wind_angle_true"}),
        text(2, "reference"),
        by_letter(3, _WIND_SPEED, 2, 4),
        text(5, "status"),
    ),
    "VWR": (
        off_bow(1, "wind_angle"),
        number(3, "wind_speed"),
        number(5, "wind_speed_ms"),
        number(7, "wind_speed_kmh"),
    ),
    "VWT": (
        off_bow(1, "wind_angle_true"),
        number(3, "wind_speed_true"),
        number(5, "wind_speed_true_ms"),
        number(7, "wind_speed_true_kmh"),
    ),
    "XDR": (transducers(1),),
    # Routes and waypoints
    "APB": (
        signed(3, "cross_track_error", RIGHT_LEFT),
        by_letter(8, {"T": "leg_bearing_true", "M": "leg_bearing_mag"}),
        text(10, "waypoint"),
        by_letter(11, {"T": "bearing_true", "M": "bearing_mag"}),
        by_letter(13, {"T": "steer_true", "M": "steer_mag"}),
    ),
    "BOD": (
        number(1, "leg_bearing_true"),
        number(3, "leg_bearing_mag"),
        text(5, "waypoint"),
        text(6, "waypoint_origin"),
    ),
    "BWC": _TO_WAYPOINT,
    "BWR": _TO_WAYPOINT,
    "RMB": (
        text(1, "status"),
        signed(2, "cross_track_error", RIGHT_LEFT),
        text(4, "waypoint_origin"),
        text(5, "waypoint"),
        latitude(6, "waypoint_lat"),
        longitude(8, "waypoint_lon"),
        number(10, "waypoint_distance"),
        number(11, "bearing_true"),
        number(12, "waypoint_speed"),
    ),
    "XTE": (signed(3, "cross_track_error", RIGHT_LEFT),),
    # Messages
    "TXT": (text(4, "text"),),
    "VDM": _AIS,
    "VDO": _AIS,
}

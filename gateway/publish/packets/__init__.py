"""MQTT as a publisher speaks it, without input or output: `encoding` what we say, `decoding` what we hear.

Section numbers are those of MQTT 5.0 (OASIS, 2019); where MQTT 3.1.1 (OASIS, 2014) has the thing elsewhere,
its number follows in brackets. Names are the standard's.
"""

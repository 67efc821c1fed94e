"""Layouts of the classes MON (the receiver itself), TIM (timing) and ESF (sensors). Notation: `layout.py`.

Source: as in `navigation.py`.
"""

_TOW = "U4 iTOW@tow"
_VERSION = "U1 version=-"
_BUFFER = "6*{0}(U2 pending@pending), 6*{0}(U1 usage@percent), 6*{0}(U1 peakUsage@percent)"
_RATES = (
    "X4(version:8@number=- xAngRateValid=- yAngRateValid=- zAngRateValid=- xAccelValid=- yAccelValid=-"
    f" zAccelValid=-), -4, {_TOW}, I4 xAngRate/1000@deg/s=rate_x?xAngRateValid,"
    "I4 yAngRate/1000@deg/s=rate_y?yAngRateValid, I4 zAngRate/1000@deg/s=rate_z?zAngRateValid,"
    "I4 xAccel/100@m/s2=acceleration_x?xAccelValid, I4 yAccel/100@m/s2=acceleration_y?yAccelValid,"
    "I4 zAccel/100@m/s2=acceleration_z?zAccelValid"
)
_HARDWARE = (
    "-4, -4, -4, -4, U2 noisePerMS=noise, U2 agcCnt=gain_control, U1 aStatus@antenna=antenna_status,"
    "U1 aPower@antenna_power=antenna_power, X1(rtcCalib=clock_calibrated safeBoot"
    " jammingState:2@jamming=jamming_state xtalAbsent=crystal_absent), -1, -4, -{},"
    "U1 jamInd@of255=jamming, -2, -4, -4, -4"
)

MON = {
    "VER": "C30 swVersion=firmware, C10 hwVersion=hardware",
    "HW": _HARDWARE.format(17),
    "HW-OLD": _HARDWARE.format(25),  # of u-blox 5 and 6
    "HW2": (
        "I1 ofsI=offset_i, U1 magI=magnitude_i, I1 ofsQ=offset_q, U1 magQ=magnitude_q,"
        "U1 cfgSource@number=config_source, -3, U4 lowLevCfg@number=-, -8, U4 postStatus@number=self_test, -4"
    ),
    "HW3": (
        f"{_VERSION}, U1 nPins=-, X1(rtcCalib=clock_calibrated safeBoot xtalAbsent=crystal_absent),"
        "C10 hwVersion=hardware, -9, nPins*pin(U2 pinId@number=id, X2(periphPIO=peripheral pinBank:3@number=-"
        " direction=output pinValue=high vpManager=- pioIrq=- pioPullHigh=- pioPullLow=-), U1 VP@number=-, -1)"
    ),
    "RF": (
        f"{_VERSION}, U1 nBlocks=-, X1(msgSource:2@number=-), -1,"
        "nBlocks*rf(U1 blockId@number=id, X1(jammingState:2@jamming), U1 antStatus@antenna=antenna_status,"
        "U1 antPower@antenna_power=antenna_power, U4 postStatus@number=self_test, -4, U2 noisePerMS=noise,"
        "U2 agcCnt=gain_control, U1 jamInd@of255=jamming, I1 ofsI=offset_i, U1 magI=magnitude_i,"
        "I1 ofsQ=offset_q, U1 magQ=magnitude_q, -3)"
    ),
    "SYS": (
        "U1 msgVer=-, U1 bootType@boot, U1 cpuLoad@percent, U1 cpuLoadMax@percent, U1 memUsage@percent=memory,"
        "U1 memUsageMax@percent=memory_max, U1 ioUsage@percent=io, U1 ioUsageMax@percent=io_max,"
        "U4 runTime@s=uptime, U2 noticeCount@count=notices, U2 warnCount@count=warnings,"
        "U2 errorCount@count=errors, I1 tempValue@Cel=temperature, -5"
    ),
    "COMMS": (
        f"{_VERSION}, U1 nPorts=-, X1(mem=tx_memory_error alloc=tx_allocation_error"
        " outputPort:3@number=tx_error_port), -1, 4*protocol(U1 protIds@number=-),"
        "nPorts*port(U2 portId@number=id, U2 txPending@pending,"
        "U4 txBytes@bytes, U1 txUsage@percent, U1 txPeakUsage@percent, U2 rxPending@pending, U4 rxBytes@bytes,"
        "U1 rxUsage@percent, U1 rxPeakUsage@percent, U2 overrunErrs@count=overruns, -8, -8,"
        "U4 skipped@bytes=rx_skipped)"
    ),
    "IO": (
        "U4 rxBytes@bytes, U4 txBytes@bytes, U2 parityErrs@count=parity_errors,"
        "U2 framingErrs@count=framing_errors, U2 overrunErrs@count=overruns, U2 breakCond@count=breaks,"
        "U1 rxBusy@flag, U1 txBusy@flag, -2"
    ),
    "TXBUF": (
        f"{_BUFFER.format('tx')}, U1 tUsage@percent=tx_usage, U1 tPeakUsage@percent=tx_peak_usage,"
        "X1(limit:6@number=tx_limit lem=tx_memory_error alloc=tx_allocation_error), -1"
    ),
    "RXBUF": _BUFFER.format("rx"),
    "RXR": "X1(awake)",
    "GNSS": (
        f"{_VERSION}, X1(GPSSup=gps_supported GlonassSup=glonass_supported BeidouSup=beidou_supported"
        " GalileoSup=galileo_supported), X1(GPSDef=- GlonassDef=- BeidouDef=- GalileoDef=-),"
        "X1(GPSEna=gps_enabled GlonassEna=glonass_enabled BeidouEna=beidou_enabled GalileoEna=galileo_enabled),"
        "U1 simultaneous=simultaneous_systems, -3"
    ),
    "PMP": (
        f"{_VERSION}, U1 nEntries=-, -2,"
        "nEntries*lband(-4, X4(locked frameSync), -8, U1 cno@dB=snr, U1 cnoFrac/256@dB=snr_fraction, -2)"
    ),
    "SMGR": (
        f"{_VERSION}, -3, {_TOW}, X2(intOscState:4@number=internal_oscillator"
        " intOscCalib=internal_oscillator_calibrated intOscDisc=internal_oscillator_disciplined),"
        "X2(extOscState:4@number=external_oscillator extOscCalib=external_oscillator_calibrated"
        " extOscDisc=external_oscillator_disciplined), U1 discSrc@number=discipline_source,"
        "X1(gnssAvail=gnss_available), X1(extInt0Avail extInt0Type extInt0FeedBack),"
        "X1(extInt1Avail extInt1Type extInt1FeedBack)"
    ),
}

TIM = {
    "TP": (
        "U4 towMS@tow=pulse_time_of_week, U4 towSubMS/4294967296@ms=pulse_time_fraction,"
        "I4 qErr@ps=pulse_error, U2 week@number=pulse_week,"
        "X1(timeBase=pulse_time_is_utc utc=utc_available raim:2@number=- qErrInvalid=pulse_error_void"
        " TpNotLocked=pulse_not_locked), X1(timeRefGnss:4@number=pulse_reference utcStandard:4@utc)"
    ),
    "TM2": (
        "U1 ch@number=mark_channel, X1(mode=mark_running run=mark_armed newFallingEdge=mark_falling"
        " timeBase:2@number=mark_time_base utc=utc_available time=mark_time_valid newRisingEdge=mark_rising),"
        "U2 count@count=marks, U2 wnR@number=mark_rising_week, U2 wnF@number=mark_falling_week,"
        "U4 towMsR@tow=mark_rising_time_of_week, U4 towSubMsR@ns=mark_rising_fraction,"
        "U4 towMsF@tow=mark_falling_time_of_week, U4 towSubMsF@ns=mark_falling_fraction, U4 accEst@ns=mark_accuracy"
    ),
    "SVIN": (
        "U4 dur@s=survey_duration, I4 meanX@cm=survey_x, I4 meanY@cm=survey_y, I4 meanZ@cm=survey_z,"
        "U4 meanV@mm2=survey_variance, U4 obs=survey_observations, U1 valid@flag=survey_valid,"
        "U1 active@flag=survey_active, -2"
    ),
    "VRFY": (
        "I4 itow@tow=time_of_week, I4 frac@ns=time_of_week_fraction, I4 deltaMs@ms=aiding_time_error,"
        "I4 deltaNs@ns=aiding_time_error_fraction, U2 wno@number=gps_week, X1(src:3@number=aiding_time_source), -1"
    ),
    "DOSC": f"{_VERSION}, -3, U4 value@number=oscillator_control",
    "TOS": (
        f"{_VERSION}, U1 gnssId@gnss=reference_system, -2, X4(leapNow=leap_second_now leapSoon=leap_second_soon"
        " leapPositive=leap_second_positive timeInLimit=time_within_limits"
        " intOscInLimit=internal_oscillator_within_limits extOscInLimit=external_oscillator_within_limits"
        " gnssTimeValid UTCTimeValid=utc_valid DiscSrc:3@number=discipline_source raim"
        " cohPulse=pulse_coherent lockedPulse=pulse_locked), U2 year, U1 month, U1 day, U1 hour, U1 minute,"
        "U1 second, U1 utcStandard@utc, I4 utcOffset@ns?UTCTimeValid, U4 utcUncertainty@ns?UTCTimeValid,"
        "U4 week@number, U4 TOW@tow_s=time_of_week, I4 gnssOffset@ns?gnssTimeValid,"
        "U4 gnssUncertainty@ns?gnssTimeValid, I4 intOscOffset/256@ppb=internal_oscillator_offset,"
        "U4 intOscUncertainty/256@ppb=internal_oscillator_uncertainty,"
        "I4 extOscOffset/256@ppb=external_oscillator_offset,"
        "U4 extOscUncertainty/256@ppb=external_oscillator_uncertainty"
    ),
    "SMEAS": (
        f"{_VERSION}, U1 numMeas=-, -2, {_TOW}, -4, numMeas*source(U1 sourceId@number=id, X1(freqValid phaseValid),"
        "I1 phaseOffsetFrac/256@ns, U1 phaseUncFrac/256@ns=phase_uncertainty_frac, I4 phaseOffset@ns,"
        "U4 phaseUnc@ns=phase_uncertainty, -4, I4 freqOffset/256@ppb=frequency_offset,"
        "U4 freqUnc/256@ppb=frequency_uncertainty)"
    ),
    "FCHG": (
        f"{_VERSION}, -3, {_TOW}, I4 intDeltaFreq/256@ppb=internal_oscillator_change,"
        "U4 intDeltaFreqU/256@ppb=internal_oscillator_change_uncertainty, U4 intRaw@number=-,"
        "I4 extDeltaFreq/256@ppb=external_oscillator_change,"
        "U4 extDeltaFreqU/256@ppb=external_oscillator_change_uncertainty, U4 extRaw@number=-"
    ),
    "VCOCAL": (
        "U1 type@number=-, U1 version=-, U1 oscId@number=oscillator, -3,"
        "U2 gainUncertainty/65536=oscillator_gain_uncertainty, I4 gainVco/65536=oscillator_gain"
    ),
}

ESF = {
    "ALG": (
        f"{_TOW}, {_VERSION}, X1(autoMntAlgOn=alignment_automatic status:3@number=alignment_status),"
        "X1(tiltAlgError=alignment_tilt_error yawAlgError=alignment_yaw_error angleError=alignment_angle_error),"
        "-1, U4 yaw/100@deg=mount_yaw, I2 pitch/100@deg=mount_pitch, I2 roll/100@deg=mount_roll"
    ),
    "INS": _RATES,
    "STATUS": (
        f"{_TOW}, {_VERSION}, X1(wtInitStatus:2@number=wheel_tick_status mntAlgStatus:3@number=alignment_status"
        " insInitStatus:3@number=inertial_status), X1(imuInitStatus:2@number=imu_status), -5,"
        "U1 fusionMode@fusion=fusion, -2, U1 numSens=sensors, numSens*sensor(X1(type:6@number used ready),"
        "X1(calibStatus:2@number=calibration timeStatus:2@number=time_status), U1 freq=rate,"
        "X1(badMeas=bad_measurements badTTag=bad_time_tags missingMeas=missing_measurements"
        " noisyMeas=noisy_measurements))"
    ),
    "MEAS": (
        "U4 timeTag@ms, X2(timeMarkSent:2@number timeMarkEdge calibTtagValid _:7 numMeas:5@number=-), U2 id@number=-,"
        "**measurement(X4(dataField:24@number=data dataType:6@number=type))"
    ),
}

HNR_RATES = _RATES

"""Layouts of the NAV class, and of the classes NAV2 and HNR, which repeat it. Notation: `layout.py`.

Source: the interface descriptions of u-blox 5 to 10, F9 and X20; field names as there, with pyubx2's spelling
where receivers of different age do not agree.
"""

_TOW = "U4 iTOW@tow"
_VERSION = "U1 version=-"

_ECEF = "I4 ecefX@cm, I4 ecefY@cm, I4 ecefZ@cm"
_ECEF_VELOCITY = "I4 ecefVX@cm/s, I4 ecefVY@cm/s, I4 ecefVZ@cm/s"
_POSITION = "I4 lon/1e7@deg, I4 lat/1e7@deg, I4 height@mm, I4 hMSL@mm"
_CLOCK_VALID = "validDate=- validTime=- fullyResolved=time_fully_resolved"
_CLOCK = "U1 hour, U1 min, U1 second"
_DATE = "U2 year, U1 month, U1 day"
_ATTITUDE = (
    f"{_TOW}, {_VERSION}, -3, I4 roll/1e5@deg, I4 pitch/1e5@deg, I4 heading/1e5@deg=vehicle_heading,"
    "U4 accRoll/1e5@deg, U4 accPitch/1e5@deg, U4 accHeading/1e5@deg"
)
_BASELINE_FLAGS = (
    "X4(gnssFixOK diffSoln relPosValid carrSoln:2@carrier isMoving refPosMiss refObsMiss relPosHeadingValid"
    " relPosNormalized)"
)
_SATELLITE_ID = "U1 gnssId@gnss=-, U1 svId@number=-"


def _time_of(system: str, tow: str, fraction: str, week: str, valid: str) -> str:
    """Time of one of the systems; the names are those of its fields."""
    tow_valid, week_valid = valid.split()
    return (
        f"{_TOW}, U4 {tow}@s={system}_time_of_week, I4 {fraction}@ns={system}_time_fraction,"
        f"I2 {week}@number={system}_week, I1 leapS@s={system}_leap_seconds,"
        f"X1({tow_valid}=time_of_week_valid {week_valid}=week_valid leapSValid), U4 tAcc@ns"
    )


NAV = {
    "POSECEF": f"{_TOW}, {_ECEF}, U4 pAcc@cm",
    "POSLLH": f"{_TOW}, {_POSITION}, U4 hAcc@mm, U4 vAcc@mm",
    "STATUS": (
        f"{_TOW}, U1 gpsFix@fix, X1(gpsFixOk diffSoln wknSet towSet),"
        "X1(diffCorr=dgps_corrections carrSolnValid _:4 mapMatching:2@number),"
        "X1(psmState:2@power_state _ spoofDetState:2@spoofing=spoofing _:1 carrSoln:2@carrier),"
        "U4 ttff@ms=time_to_first_fix, U4 msss@ms=uptime"
    ),
    "DOP": f"{_TOW}, U2 gDOP/100, U2 pDOP/100, U2 tDOP/100, U2 vDOP/100, U2 hDOP/100, U2 nDOP/100, U2 eDOP/100",
    "ATT": _ATTITUDE,
    "SOL": (
        f"{_TOW}, I4 fTOW@ns, I2 week@number, U1 gpsFix@fix, X1(gpsfixOK diffSoln wknSet towSet),"
        f"{_ECEF}, U4 pAcc@cm, {_ECEF_VELOCITY}, U4 sAcc@cm/s, U2 pDOP/100, -1, U1 numSV, -4"
    ),
    "PVT": (
        f"{_TOW}, {_DATE}, {_CLOCK}, X1({_CLOCK_VALID} validMag), U4 tAcc@ns, I4 nano@ns, U1 fixType@fix,"
        "X1(gnssFixOk diffSoln psmState:3@power_save headVehValid carrSoln:2@carrier),"
        "X1(_:5 confirmedAvai=- confirmedDate=date_confirmed confirmedTime=time_confirmed), U1 numSV,"
        f"{_POSITION}, U4 hAcc@mm, U4 vAcc@mm, I4 velN@mm/s, I4 velE@mm/s, I4 velD@mm/s, I4 gSpeed@mm/s,"
        "I4 headMot/1e5@deg, U4 sAcc@mm/s, U4 headAcc/1e5@deg, U2 pDOP/100,"
        "X2(invalidLlh lastCorrectionAge:4@number _:8 authTime=time_authenticated"
        " nmaFixStatus=fix_authenticated), -4,"
        "I4 headVeh/1e5@deg?headVehValid, I2 magDec/100@deg?validMag, U2 magAcc/100@deg?validMag"
    ),
    "ODO": (
        f"{_VERSION}, -3, {_TOW}, U4 distance@m=odometer_trip, U4 totalDistance@odo=odometer_total,"
        "U4 distanceStd@m=odometer_trip_std"
    ),
    "VELECEF": f"{_TOW}, {_ECEF_VELOCITY}, U4 sAcc@cm/s",
    "VELNED": (
        f"{_TOW}, I4 velN@cm/s, I4 velE@cm/s, I4 velD@cm/s, U4 speed@cm/s=speed_3d, U4 gSpeed@cm/s,"
        "I4 heading/1e5@deg=course, U4 sAcc@cm/s, U4 cAcc/1e5@deg=course_accuracy"
    ),
    "HPPOSECEF": (
        f"{_VERSION}, -3, {_TOW}, {_ECEF}, I1 ecefX+/100, I1 ecefY+/100, I1 ecefZ+/100, X1(invalidEcef),"
        "U4 pAcc/10@mm"
    ),
    "HPPOSLLH": (
        f"{_VERSION}, -2, X1(invalidLlh), {_TOW}, {_POSITION}, I1 lon+/1e9, I1 lat+/1e9, I1 height+/10,"
        "I1 hMSL+/10, U4 hAcc/10@mm, U4 vAcc/10@mm"
    ),
    "PVAT": (
        f"{_TOW}, {_VERSION}, X1({_CLOCK_VALID} validMag), {_DATE}, U1 hour, U1 min, U1 sec, -1, -2,"
        "U4 tAcc@ns, I4 nano@ns, U1 fixType@fix,"
        "X1(gnssFixOK diffSoln _ vehRollValid vehPitchValid vehHeadingValid carrSoln:2@carrier),"
        "X1(_:5 confirmedAvai=- confirmedDate=date_confirmed confirmedTime=time_confirmed), U1 numSV,"
        f"{_POSITION}, U4 hAcc@mm, U4 vAcc@mm, I4 velN@mm/s, I4 velE@mm/s, I4 velD@mm/s, I4 gSpeed@mm/s,"
        "U4 sAcc@mm/s, I4 vehRoll/1e5@deg=roll?vehRollValid, I4 vehPitch/1e5@deg=pitch?vehPitchValid,"
        "I4 vehHeading/1e5@deg=vehicle_heading?vehHeadingValid, I4 motHeading/1e5@deg=course,"
        "U2 accRoll/100@deg, U2 accPitch/100@deg, U2 accHeading/100@deg,"
        "I2 magDec/100@deg?validMag, U2 magAcc/100@deg?validMag,"
        "U2 errEllipseOrient/100@deg, U4 errEllipseMajor@mm, U4 errEllipseMinor@mm, -4, -4"
    ),
    "TIMEGPS": (
        f"{_TOW}, I4 fTOW@ns, I2 week@number, I1 leapS@s, X1(towValid weekValid leapSValid), U4 tAcc@ns"
    ),
    "TIMEUTC": (
        f"{_TOW}, U4 tAcc@ns, I4 nano@ns, {_DATE}, U1 hour, U1 min, U1 sec,"
        "X1(validTOW=time_of_week_valid validWKN=week_valid validUTC authStatus=time_authenticated"
        " utcStandard:4@utc)"
    ),
    "CLOCK": f"{_TOW}, I4 clkB@ns, I4 clkD@ns/s, U4 tAcc@ns, U4 fAcc@ps/s",
    "TIMEGLO": (
        f"{_TOW}, U4 TOD@s=glonass_time_of_day, I4 fTOD@ns=glonass_time_fraction, U2 Nt@number=glonass_day,"
        "U1 N4@number=glonass_four_years, X1(todValid dateValid), U4 tAcc@ns"
    ),
    "TIMEBDS": _time_of("beidou", "SOW", "fSOW", "week", "sowValid weekValid"),
    "TIMEGAL": _time_of("galileo", "galTow", "fGalTow", "galWno", "galTowValid galWnoValid"),
    "TIMEQZSS": _time_of("qzss", "qzssTow", "fQzssTow", "qzssWno", "qzssTowValid qzssWnoValid"),
    "TIMENAVIC": _time_of("navic", "NavICTow", "fNavICTow", "NavICWno", "NavICTowValid NavICWnoValid"),
    "TIMETRUSTED": (
        f"{_VERSION}, U1 refSys@number=reference_system, X1(trustedTimeValid deltaTimeValid), -1, {_TOW},"
        "U2 iniWho@number=-, U2 propWho@number=-, U4 iniTow@tow=-, U4 propTow@tow=-,"
        "U4 iniTAcc@ms=-, U4 propTAcc@ms=trusted_time_accuracy, I4 deltaS@s=trusted_time_offset,"
        "I4 deltaMs@ms=trusted_time_offset_fraction, -4"
    ),
    "TIMELS": (
        f"{_TOW}, {_VERSION}, -3, U1 srcOfCurrLs@number=leap_seconds_source, I1 currLs@s=leap_seconds,"
        "U1 srcOfLsChange@number=leap_second_source, I1 lsChange@s=leap_second_change,"
        "I4 timeToLsEvent@s=leap_second_in, U2 dateOfLsGpsWn@number=leap_second_week,"
        "U2 dateOfLsGpsDn@number=leap_second_day, -3,"
        "X1(validCurrLs=leap_seconds_valid validTimeToLsEvent=leap_second_valid)"
    ),
    "NMI": (
        f"{_TOW}, {_VERSION}, -4, X1(wnoCheckedGPS wnoInvalidGPS UTCORefCheckedGPS UTCORefInvalidGPS),"
        "X1(lsValGPS dnRangeGPS totRangeGPS lsEventGPS recNowGPS), X1(wnoCheckedGAL wnoInvalidGAL),"
        "X1(lsValGAL dnRangeGAL totRangeGAL lsEventGAL recNowGAL), X1(wnoCheckedBDS wnoInvalidBDS),"
        "X1(lsValBDS dnRangeBDS totRangeBDS lsEventBDS recNowBDS), X1(wnoCheckedGLO wnoInvalidGLO)"
    ),
    "DGPS": (
        f"{_TOW}, I4 age@ms=dgps_age, I2 baseId@number=dgps_station, I2 baseHealth@number=dgps_health,"
        "U1 numCh=dgps_channels, U1 status@number=dgps_status, -2,"
        "numCh*dgps(U1 svid@number=-, X1(channel:4@number dgpsUsed=used), U2 ageC@ms=age,"
        "R4 prc@m=correction, R4 prrc@m/s=correction_rate)"
    ),
    "SBAS": (
        f"{_TOW}, U1 geo@number=sbas_geo, U1 mode@number=sbas_mode, I1 sys@number=sbas_system,"
        "X1(Ranging=sbas_ranging Corrections=sbas_corrections Integrity=sbas_integrity Testmode=sbas_test_mode"
        " Bad=sbas_bad), U1 cnt=sbas_satellites, X1(integrityUsed:2@number=sbas_integrity_used), -2,"
        "cnt*sbas(U1 svid@number=-, U1 flags@number, U1 udre@number, U1 svSys@number=system,"
        "U1 svService@number=services, -1, I2 prc@cm=correction, -2, I2 ic@cm=ionosphere_correction)"
    ),
    "SLAS": (
        f"{_TOW}, {_VERSION}, -3, I4 gmsLon/1000@deg=slas_station_lon, I4 gmsLat/1000@deg=slas_station_lat,"
        "U1 gmsCode@number=slas_station, U1 qzssSvId@number=slas_satellite,"
        "X1(gmsAvailable=slas_station_available qzssSvAvailable=slas_satellite_available"
        " testMode=slas_test_mode), U1 cnt=slas_satellites,"
        "cnt*slas(U1 gnssID@gnss=system, U1 svId@number=-, -1, -3, I2 prc@cm=correction)"
    ),
    "SVINFO": (
        f"{_TOW}, U1 numCh=channels, X1(chipGen:3@number=chip_generation), -2,"
        "numCh*sv(U1 chn@number=channel, U1 svid@number=-,"
        "X1(svUsed=used diffCorr=differential orbitAvail=- orbitEph=- unhealthy orbitAlm=- orbitAop=- smoothed),"
        "X1(qualityInd:4@number=quality), U1 cno@dB=snr, I1 elev@deg=elevation, I2 azim@deg=azimuth,"
        "I4 prRes@cm=residual)"
    ),
    "SAT": (
        f"{_TOW}, {_VERSION}, U1 numSvs=satellites_in_view, -2,"
        f"numSvs*sv({_SATELLITE_ID}, U1 cno@dB=snr, I1 elev@deg=elevation, I2 azim@deg=azimuth,"
        "I2 prRes/10@m=residual, X4(qualityInd:3@number=quality svUsed=used health:2@number diffCorr=differential"
        " smoothed orbitSource:3@number ephAvail=- almAvail=- anoAvail=- aopAvail=- _ sbasCorrUsed=-"
        " rtcmCorrUsed=- slasCorrUsed=- spartnCorrUsed=- prCorrUsed=- crCorrUsed=- doCorrUsed=-"
        " clasCorrUsed=- lppCorrUsed=- hasCorrUsed=-))"
    ),
    "SIG": (
        f"{_TOW}, {_VERSION}, U1 numSigs=signals, -2,"
        f"numSigs*signal({_SATELLITE_ID}, U1 sigId@number=-, U1 freqId@number=-, I2 prRes/10@m=residual,"
        "U1 cno@dB=snr, U1 qualityInd@number=quality, U1 corrSource@number=correction_source,"
        "U1 ionoModel@number=ionosphere_model, X2(health:2@number prSmoothed=smoothed prUsed=used"
        " crUsed=carrier_used doUsed=doppler_used prCorrUsed=- crCorrUsed=- doCorrUsed=-"
        " authStatus=authenticated), -4)"
    ),
    "ORB": (
        f"{_TOW}, {_VERSION}, U1 numSv=orbits_known, -2,"
        f"numSv*orbit({_SATELLITE_ID}, X1(health:2@number visibility:2@number),"
        "X1(ephUsability:5@number=ephemeris_usability ephSource:3@number=ephemeris_source),"
        "X1(almUsability:5@number=almanac_usability almSource:3@number=almanac_source),"
        "X1(anoAopUsability:5@number=offline_usability type:3@number))"
    ),
    "COV": (
        f"{_TOW}, {_VERSION}, U1 posCovValid@flag=position_covariance_valid,"
        "U1 velCovValid@flag=velocity_covariance_valid, -9,"
        "R4 posCovNN@m2=position_covariance_nn?posCovValid, R4 posCovNE@m2=position_covariance_ne?posCovValid,"
        "R4 posCovND@m2=position_covariance_nd?posCovValid, R4 posCovEE@m2=position_covariance_ee?posCovValid,"
        "R4 posCovED@m2=position_covariance_ed?posCovValid, R4 posCovDD@m2=position_covariance_dd?posCovValid,"
        "R4 velCovNN@m2/s2=velocity_covariance_nn?velCovValid,"
        "R4 velCovNE@m2/s2=velocity_covariance_ne?velCovValid,"
        "R4 velCovND@m2/s2=velocity_covariance_nd?velCovValid,"
        "R4 velCovEE@m2/s2=velocity_covariance_ee?velCovValid,"
        "R4 velCovED@m2/s2=velocity_covariance_ed?velCovValid,"
        "R4 velCovDD@m2/s2=velocity_covariance_dd?velCovValid"
    ),
    "EELL": (
        f"{_TOW}, {_VERSION}, -1, U2 errEllipseOrient/100@deg, U4 errEllipseMajor@mm, U4 errEllipseMinor@mm"
    ),
    "PL": (
        f"{_VERSION}, U1 tmirCoeff@number=-, I1 tmirExp@number=-,"
        "U1 plPosValid@flag=protection_position_valid, U1 plPosFrame@number=protection_position_frame,"
        "U1 plVelValid@flag=protection_velocity_valid, U1 plVelFrame@number=protection_velocity_frame,"
        f"U1 plTimeValid@flag=protection_time_valid, -4, {_TOW}, U4 plPos1@mm=protection_position_1?plPosValid,"
        "U4 plPos2@mm=protection_position_2?plPosValid, U4 plPos3@mm=protection_position_3?plPosValid,"
        "U4 plVel1@mm/s=protection_velocity_1?plVelValid, U4 plVel2@mm/s=protection_velocity_2?plVelValid,"
        "U4 plVel3@mm/s=protection_velocity_3?plVelValid, U2 plPosHorizOrient=-, U2 plVelHorizOrient=-,"
        "U4 plTime@ns=protection_time?plTimeValid, -4"
    ),
    "GEOFENCE": (
        f"{_TOW}, {_VERSION}, U1 status@flag=geofencing_active, U1 numFences=-, U1 combState@fence=geofence,"
        "numFences*fence(U1 state@fence, U1 id@number)"
    ),
    "AOPSTATUS": f"{_TOW}, U1 aopCfg@number=assist_config, U1 status@number=assist_status, -10",
    "AOPSTATUS-L": (
        f"{_TOW}, U1 config@number=assist_config, U1 status@number=assist_status, -1, -1, U4 avail@number=-, -4, -4"
    ),
    "EKFSTATUS": (
        "I4 pulses=wheel_pulses, I4 period@ms=wheel_period, U4 gyroMean/100=gyro_mean,"
        "I2 temperature/256@Cel=gyro_temperature, I1 direction@number=wheel_direction,"
        "X1(calibTacho:2@number calibGyro:2@number calibGyroB:2@number), I4 pulseScale/1e5, I4 gyroBias/1e5,"
        "I4 gyroScale/1e5, I4 accPulseScale/1e4=pulse_scale_accuracy, I4 accGyroBias/1e4=gyro_bias_accuracy,"
        "I4 accGyroScale/1e4=gyro_scale_accuracy, X1(pulse=pulses_used dir=direction_used gyro=gyro_used"
        " temp=temperature_used pos=position_used vel=velocity_used errGyro=gyro_error errPulse=wheel_pulse_error), -1"
    ),
    "RELPOSNED": (
        f"{_VERSION}, -1, U2 refStationID@number=base_station, {_TOW}, I4 relPosN@cm, I4 relPosE@cm, I4 relPosD@cm,"
        "I4 relPosLength@cm, I4 relPosHeading/1e5@deg, -4, I1 relPosN+/100, I1 relPosE+/100, I1 relPosD+/100,"
        "I1 relPosLength+/100, U4 accN/10@mm, U4 accE/10@mm, U4 accD/10@mm, U4 accLength/10@mm,"
        f"U4 accHeading/1e5@deg=baseline_heading_accuracy, -4, {_BASELINE_FLAGS}"
    ),
    "RELPOSNED-V0": (
        f"{_VERSION}, -1, U2 refStationID@number=base_station, {_TOW}, I4 relPosN@cm, I4 relPosE@cm, I4 relPosD@cm,"
        "I1 relPosN+/100, I1 relPosE+/100, I1 relPosD+/100, -1, U4 accN/10@mm, U4 accE/10@mm, U4 accD/10@mm,"
        f"{_BASELINE_FLAGS}"
    ),
    "DAHEADING": (
        f"{_VERSION}, -3, {_TOW}, I4 relPosN@mm, I4 relPosE@mm, I4 relPosD@mm, I4 relPosLength@mm,"
        "I4 relPosHeading/1e5@deg, -4, U4 accN@mm, U4 accE@mm, U4 accD@mm, U4 accLength@mm,"
        "U4 accHeading/1e5@deg=baseline_heading_accuracy, -4,"
        "X4(gnssFixOK diffSoln relPosValid carrSoln:2@carrier _ relPosHeadingValid)"
    ),
    "DAHEADINGHP": (
        f"{_VERSION}, -3, {_TOW}, I4 relPosN@cm, I4 relPosE@cm, I4 relPosD@cm, I4 relPosLength@cm,"
        "I4 relPosHeading/1e5@deg, -4, I1 relPosN+/100, I1 relPosE+/100, I1 relPosD+/100,"
        "I1 relPosLength+/100, U4 accN/10@mm, U4 accE/10@mm, U4 accD/10@mm, U4 accLength/10@mm,"
        f"U4 accHeading/1e5@deg=baseline_heading_accuracy, -4, {_BASELINE_FLAGS}"
    ),
    "SVIN": (
        f"{_VERSION}, -3, {_TOW}, U4 dur@s=survey_duration, I4 meanX@cm=survey_x, I4 meanY@cm=survey_y,"
        "I4 meanZ@cm=survey_z, I1 meanXHP@dmm=survey_x_fine, I1 meanYHP@dmm=survey_y_fine,"
        "I1 meanZHP@dmm=survey_z_fine, -1, U4 meanAcc@dmm=survey_accuracy, U4 obs=survey_observations,"
        "U1 valid@flag=survey_valid, U1 active@flag=survey_active, -2"
    ),
    "EOE": "U4 iTOW@tow=-",
}
"""By id within the class."""

HNR = {
    "PVT": (
        f"{_TOW}, {_DATE}, {_CLOCK}, X1({_CLOCK_VALID}), I4 nano@ns, U1 gpsFix@fix,"
        f"X1(GPSfixOK DiffSoln WKNSET TOWSET headVehValid), -2, {_POSITION}, I4 gSpeed@mm/s,"
        "I4 speed@mm/s=speed_3d, I4 headMot/1e5@deg, I4 headVeh/1e5@deg?headVehValid, U4 hAcc@mm, U4 vAcc@mm,"
        "U4 sAcc@mm/s, U4 headAcc/1e5@deg, -4"
    ),
    "ATT": _ATTITUDE,
}

"""Audio as values and machines: chunks and formats, G.711, other rates, tones and digits, levels, speech, WAV files."""

from .activity import Activity, FrameActivity, SpeechEnded, SpeechStarted, VoiceActivity
from .chunk import AudioChunk
from .dtmf import DtmfDetector, DtmfHeard
from .formats import (
    ALAW,
    FORMATS,
    FRAME_SECONDS,
    SLIN,
    SLIN12,
    SLIN16,
    SLIN24,
    SLIN32,
    SLIN44,
    SLIN48,
    ULAW,
    AudioFormat,
    Encoding,
    as_format,
    format_of,
)
from .g711 import alaw_to_slin, slin_to_alaw, slin_to_ulaw, ulaw_to_slin
from .level import peak_dbfs, rms_dbfs
from .resample import Quality, Resampler
from .tones import DBM0_IN_DBFS, DTMF_FREQUENCIES, Tone, dtmf_tones
from .transcode import Transcoder
from .wav import read_wav, write_wav

__all__ = [
    "ALAW",
    "DBM0_IN_DBFS",
    "DTMF_FREQUENCIES",
    "FORMATS",
    "FRAME_SECONDS",
    "SLIN",
    "SLIN12",
    "SLIN16",
    "SLIN24",
    "SLIN32",
    "SLIN44",
    "SLIN48",
    "ULAW",
    "Activity",
    "AudioChunk",
    "AudioFormat",
    "DtmfDetector",
    "DtmfHeard",
    "Encoding",
    "FrameActivity",
    "Quality",
    "Resampler",
    "SpeechEnded",
    "SpeechStarted",
    "Tone",
    "Transcoder",
    "VoiceActivity",
    "alaw_to_slin",
    "as_format",
    "dtmf_tones",
    "format_of",
    "peak_dbfs",
    "read_wav",
    "rms_dbfs",
    "slin_to_alaw",
    "slin_to_ulaw",
    "ulaw_to_slin",
    "write_wav",
]

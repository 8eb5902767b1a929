"""What both drivers' ``VoxtraApp`` share: options, routing, the application's machine."""

from ..recording import World
from .app import Backend, BaseApp, MachineDriver
from .delivering import IntoLoop
from .events import AppUpdate, CallStateChanged, ConnectionChanged
from .machine import AppMachine, Observer, Phase
from .media import AudioSocket
from .options import DEFAULT_URL, Options, make_options
from .reconnect import Connection, Reconnect
from .routing import Handler, OfferHook, Route, Router
from .signals import SIGNALS, SIGNALS_HEEDED, SignalHandler
from .stats import AppStats

__all__ = [
    "DEFAULT_URL",
    "SIGNALS",
    "SIGNALS_HEEDED",
    "AppMachine",
    "AppStats",
    "AppUpdate",
    "AudioSocket",
    "Backend",
    "BaseApp",
    "CallStateChanged",
    "Connection",
    "ConnectionChanged",
    "Handler",
    "IntoLoop",
    "MachineDriver",
    "Observer",
    "OfferHook",
    "Options",
    "Phase",
    "Reconnect",
    "Route",
    "Router",
    "SignalHandler",
    "World",
    "make_options",
]

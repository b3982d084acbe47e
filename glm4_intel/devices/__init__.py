"""The devices that OpenVINO finds here, the properties each is run with, the choice among them, and their refusals."""

from . import footprint
from .choice import Choice, choose, room_on
from .discovery import Device, discover, processor_device, require
from .profiles import PROFILES, check_properties, parse_properties, portable_properties, properties
from .refusals import device_error

__all__ = [
    "PROFILES", "Choice", "Device", "check_properties", "choose", "device_error", "discover", "footprint",
    "parse_properties", "portable_properties", "processor_device", "properties", "require", "room_on",
]  # fmt: skip

"""The devices that OpenVINO finds here, the properties each is run with, the choice among them, and their refusals."""

from . import footprint, reference_model
from .choice import Choice, choose
from .discovery import Device, discover, processor_device
from .footprint import Footprint
from .inventory import Machine
from .profiles import PROFILES, check_properties, engine_settings, parse_properties, portable_properties, properties
from .refusals import device_error

__all__ = [
    "PROFILES", "Choice", "Device", "Footprint", "Machine", "check_properties", "choose", "device_error", "discover",
    "engine_settings", "footprint", "parse_properties", "portable_properties", "processor_device", "properties",
    "reference_model",
]  # fmt: skip

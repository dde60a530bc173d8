"""Harmony connector for Asterisk: the client of Harmony's Processor Bridge on a real PBX."""

__version__ = "0.1.0"

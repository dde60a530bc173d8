"""The other end of the wire: a reference Processor Bridge that checks every message it gets."""

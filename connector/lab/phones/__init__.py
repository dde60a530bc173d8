"""Softphones of the laboratory: real SIP stacks that ring, talk and say whose tones they hear."""

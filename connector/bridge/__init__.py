"""The bridge's door: the message catalogue, envelope and framing, dialects and transports."""

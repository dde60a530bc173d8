"""The protocol's messages, one module per kind of destination. A body is imported from its module."""

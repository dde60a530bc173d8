"""One module per destination of the protocol's tree; `base` has the lifecycle for all."""

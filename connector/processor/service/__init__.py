"""The Interaction Processor service: the bridge's other face, to which agent desktops speak."""

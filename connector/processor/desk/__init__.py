"""`connector desk`: an agent's desktop in the terminal, on the Interaction Processor service."""

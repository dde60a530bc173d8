"""The living room: a pure model of agents, interactions, conversations and parties."""

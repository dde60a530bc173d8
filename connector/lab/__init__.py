"""The laboratory: a private Asterisk and RabbitMQ, softphones with audio, and the demo."""

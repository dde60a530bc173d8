"""What those who run the connector see of it: metrics, health, and its talk with systemd."""

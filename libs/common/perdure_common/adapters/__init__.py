"""What the shell stands on, for real (PostgreSQL, Kafka) and in memory."""

"""What the HTTP APIs of all services are made of: tables, pages, problems, reading."""

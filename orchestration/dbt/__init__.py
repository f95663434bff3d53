"""dbt as the rest of the platform starts and reads it: its command, its manifest of the project."""

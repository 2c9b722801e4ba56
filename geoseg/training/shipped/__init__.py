"""How the shipped weights were made: from generated scenes, reproducibly. Nothing else imports this room."""

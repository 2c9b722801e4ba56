"""Text-image networks: windows and phrases to vectors of one width. Importing a module of it imports torch."""

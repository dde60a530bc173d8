"""Sites: numbers as a site writes them, and the files of its PBX."""

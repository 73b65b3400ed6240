"""Drills: long runs that show what tests cannot, such as restarts under load."""

"""The methods of the service in the site: its own, and those of accounts."""

"""The methods of project_name."""

"""The methods of the chat."""

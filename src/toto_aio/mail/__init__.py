"""Mail: addresses, templates, senders, and the queue between a call and its mail."""

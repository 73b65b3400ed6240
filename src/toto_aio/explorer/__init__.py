"""The explorer: a page at ``explorer`` below the root, to read the methods of a service and to try them."""

"""What is derived from the methods of a service: schemas, and documents for clients and their generators."""

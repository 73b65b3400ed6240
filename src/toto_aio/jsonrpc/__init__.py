"""JSON-RPC 2.0 (https://www.jsonrpc.org/specification), whatever transport a message came by."""

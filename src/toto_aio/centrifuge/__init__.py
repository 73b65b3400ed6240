"""The protocol of Centrifuge's client libraries (https://centrifugal.dev/docs/transports/client_protocol)."""

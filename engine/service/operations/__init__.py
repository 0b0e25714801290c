"""How the service is operated: health and metrics over HTTP, endpoints over NATS, logs, trace context."""

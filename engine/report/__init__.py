"""What is made of alerts: forms for other systems. Nothing in the engine but service and cli imports it."""

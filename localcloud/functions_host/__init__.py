"""A local Azure Functions host with a Durable engine: loads any Python v2 app and runs it."""

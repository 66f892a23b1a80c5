"""The Durable engine of the local cloud beside Microsoft's in-memory backend."""

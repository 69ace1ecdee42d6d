"""Development tools: embedded servers, the launcher, stand-ins. Never part of an image."""

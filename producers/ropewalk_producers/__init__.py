"""How agents speak: the recorder."""
